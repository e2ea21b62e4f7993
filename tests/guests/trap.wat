;; Traps on "unreachable" three calls deep: the backtrace names deepest, middle and _start, in that order.
(module $trap
  (memory (export "memory") 1)
  (func $deepest
    unreachable)
  (func $middle
    (call $deepest))
  (func $_start (export "_start")
    (call $middle)))
