;; Calls itself without end: traps with "call stack exhausted".
(module
  (memory (export "memory") 1)
  (func $dive (param $depth i32) (result i32)
    ;; The addition after the call keeps it from being a tail call.
    (i32.add
      (call $dive (i32.add (local.get $depth) (i32.const 1)))
      (i32.const 1)))
  (func (export "_start")
    (drop (call $dive (i32.const 0)))))
