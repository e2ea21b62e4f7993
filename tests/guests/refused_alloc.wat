;; Asks for 600 MB at once, as a Rust guest does for a large vector; where that is refused it says so as Rust does, and
;; traps on "unreachable" with 1 MiB in use. Else it ends with 0.
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 17)
  (data (i32.const 0) "\10\00\00\00\2c\00\00\00")
  (data (i32.const 16) "memory allocation of 600000000 bytes failed\n")
  (func (export "_start")
    (if (i32.eq (memory.grow (i32.const 9156)) (i32.const -1))
      (then
        (drop (call $write (i32.const 2) (i32.const 0) (i32.const 1) (i32.const 8)))
        unreachable))))
