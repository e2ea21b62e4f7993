;; Takes memory 1 MiB at a time and touches every page of it, until the host refuses: then traps on "unreachable".
(module
  (memory (export "memory") 1)
  (func (export "_start")
    (local $page i32)
    (local $end i32)
    (loop $again
      (local.set $page (memory.grow (i32.const 16)))
      (if (i32.eq (local.get $page) (i32.const -1))
        (then unreachable))
      (local.set $end (i32.add (local.get $page) (i32.const 16)))
      (loop $touch
        ;; Twice per Wasm page would not do: the host's pages have 4 KiB.
        (memory.fill
          (i32.shl (local.get $page) (i32.const 16))
          (i32.const 1)
          (i32.const 65536))
        (local.set $page (i32.add (local.get $page) (i32.const 1)))
        (br_if $touch (i32.lt_u (local.get $page) (local.get $end))))
      (br $again))))
