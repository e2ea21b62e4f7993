;; Prints its environment as K=V lines, in the order the host gave.
(module
  (import "wasi_snapshot_preview1" "environ_sizes_get"
    (func $sizes (param $count i32) (param $bytes i32) (result i32)))
  (import "wasi_snapshot_preview1" "environ_get"
    (func $get (param $pointers i32) (param $strings i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write"
    (func $fd_write (param $fd i32) (param $iovs i32) (param $count i32) (param $written i32) (result i32)))
  (memory (export "memory") 4)
  ;; First page: 0 count, 4 bytes, 8 iovec, 16 written. From the second page on: the pointers, then the strings.
  (func $length (param $string i32) (result i32)
    (local $at i32)
    (local.set $at (local.get $string))
    (block $end
      (loop $next
        (br_if $end (i32.eqz (i32.load8_u (local.get $at))))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br $next)))
    (i32.sub (local.get $at) (local.get $string)))
  (func (export "_start")
    (local $pointer i32)
    (local $length i32)
    (local $end i32)
    (drop (call $sizes (i32.const 0) (i32.const 4)))
    (local.set $end (i32.add (i32.const 65536) (i32.shl (i32.load (i32.const 0)) (i32.const 2))))
    (drop (call $get (i32.const 65536) (local.get $end)))
    (local.set $pointer (i32.const 65536))
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $pointer) (local.get $end)))
        (i32.store (i32.const 8) (i32.load (local.get $pointer)))
        (local.set $length (call $length (i32.load (local.get $pointer))))
        (i32.store (i32.const 12) (i32.add (local.get $length) (i32.const 1)))
        ;; The line end takes the place of the string's closing zero: a host may write one iovec at a time.
        (i32.store8 (i32.add (i32.load (local.get $pointer)) (local.get $length)) (i32.const 10))
        (drop (call $fd_write (i32.const 1) (i32.const 8) (i32.const 1) (i32.const 16)))
        (local.set $pointer (i32.add (local.get $pointer) (i32.const 4)))
        (br $next)))))
