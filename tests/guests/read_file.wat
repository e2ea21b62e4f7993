;; Prints the file at argv[1], which is relative to the first directory granted (descriptor 3).
;; Where the host refuses, prints "errno NN" on stderr and ends with exit code NN: 44 no such file, 63 not permitted
;; (an absolute path, or one that leaves the directory by .. or a symlink), 8 no directory granted. Without an
;; argument exit code 2.
(module
  (import "wasi_snapshot_preview1" "args_sizes_get"
    (func $args_sizes_get (param $count i32) (param $bytes i32) (result i32)))
  (import "wasi_snapshot_preview1" "args_get"
    (func $args_get (param $pointers i32) (param $strings i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_open"
    (func $path_open
      (param $dir i32) (param $lookup i32) (param $path i32) (param $length i32) (param $open i32)
      (param $rights i64) (param $inheriting i64) (param $flags i32) (param $fd i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read"
    (func $fd_read (param $fd i32) (param $iovs i32) (param $count i32) (param $read i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write"
    (func $fd_write (param $fd i32) (param $iovs i32) (param $count i32) (param $written i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param $code i32)))
  ;; First page: 0 iovec, 8 counter, 12 the open file, 16 argc, 20 their bytes, 32 "errno NN\n".
  ;; Second page: the arguments. Third page: what was read.
  (memory (export "memory") 3)
  (data (i32.const 32) "errno 00\n")
  (func $check (param $errno i32)
    (if (i32.eqz (local.get $errno))
      (then (return)))
    (i32.store8 (i32.const 38) (i32.add (i32.const 48) (i32.div_u (local.get $errno) (i32.const 10))))
    (i32.store8 (i32.const 39) (i32.add (i32.const 48) (i32.rem_u (local.get $errno) (i32.const 10))))
    (drop (call $write (i32.const 2) (i32.const 32) (i32.const 9)))
    (call $proc_exit (local.get $errno)))
  (func $write (param $fd i32) (param $at i32) (param $length i32) (result i32)
    (i32.store (i32.const 0) (local.get $at))
    (i32.store (i32.const 4) (local.get $length))
    (call $fd_write (local.get $fd) (i32.const 0) (i32.const 1) (i32.const 8)))
  (func $length (param $string i32) (result i32)
    (local $at i32)
    (local.set $at (local.get $string))
    (block $end
      (loop $next
        (br_if $end (i32.eqz (i32.load8_u (local.get $at))))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br $next)))
    (i32.sub (local.get $at) (local.get $string)))
  (func $path (result i32)
    (drop (call $args_sizes_get (i32.const 16) (i32.const 20)))
    (if (i32.lt_u (i32.load (i32.const 16)) (i32.const 2))
      (then (call $proc_exit (i32.const 2))))
    (drop (call $args_get (i32.const 65536) (i32.add (i32.const 65536) (i32.shl (i32.load (i32.const 16)) (i32.const 2)))))
    (i32.load (i32.const 65540)))
  (func (export "_start")
    (local $path i32)
    (local $at i32)
    (local $end i32)
    (local.set $path (call $path))
    ;; Lookup flag 1 follows symlinks; right 2 is fd_read.
    (call $check
      (call $path_open
        (i32.const 3) (i32.const 1) (local.get $path) (call $length (local.get $path)) (i32.const 0)
        (i64.const 2) (i64.const 0) (i32.const 0) (i32.const 12)))
    (loop $next
      (i32.store (i32.const 0) (i32.const 131072))
      (i32.store (i32.const 4) (i32.const 65536))
      (call $check (call $fd_read (i32.load (i32.const 12)) (i32.const 0) (i32.const 1) (i32.const 8)))
      (if (i32.eqz (i32.load (i32.const 8)))
        (then (return)))
      (local.set $at (i32.const 131072))
      (local.set $end (i32.add (i32.const 131072) (i32.load (i32.const 8))))
      (loop $rest
        (call $check (call $write (i32.const 1) (local.get $at) (i32.sub (local.get $end) (local.get $at))))
        (local.set $at (i32.add (local.get $at) (i32.load (i32.const 8))))
        (br_if $rest (i32.lt_u (local.get $at) (local.get $end))))
      (br $next))))
