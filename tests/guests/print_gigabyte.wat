;; Prints exactly 2^30 bytes on stdout: 16,384 lines of 65,535 "x" and a line end. Ends with exit code 0,
;; or 29 (errno io) where stdout is closed.
(module
  (import "wasi_snapshot_preview1" "fd_write"
    (func $fd_write (param $fd i32) (param $iovs i32) (param $count i32) (param $written i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param $code i32)))
  (memory (export "memory") 2)
  (func (export "_start")
    (local $left i32)
    (local $at i32)
    (local $errno i32)
    ;; The line fills the second page; iovec and counter are in the first.
    (memory.fill (i32.const 65536) (i32.const 120) (i32.const 65535))
    (i32.store8 (i32.const 131071) (i32.const 10))
    (local.set $left (i32.const 1_073_741_824))
    (loop $again
      ;; A host may take less than offered: the next write goes on from there.
      (local.set $at (i32.and (i32.sub (i32.const 0) (local.get $left)) (i32.const 65535)))
      (i32.store (i32.const 0) (i32.add (i32.const 65536) (local.get $at)))
      (i32.store (i32.const 4) (i32.sub (i32.const 65536) (local.get $at)))
      (local.set $errno (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
      (if (local.get $errno)
        (then (call $proc_exit (local.get $errno))))
      (local.set $left (i32.sub (local.get $left) (i32.load (i32.const 8))))
      (br_if $again (local.get $left)))))
