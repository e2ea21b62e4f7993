;; Prints "to stdout" on stdout, then "to stderr" on stderr, and ends with exit code 0.
(module
  (import "wasi_snapshot_preview1" "fd_write"
    (func $fd_write (param $fd i32) (param $iovs i32) (param $count i32) (param $written i32) (result i32)))
  (memory (export "memory") 1)
  ;; Two iovecs: 10 bytes at 32 and 10 bytes at 48.
  (data (i32.const 0) "\20\00\00\00\0a\00\00\00\30\00\00\00\0a\00\00\00")
  (data (i32.const 32) "to stdout\n")
  (data (i32.const 48) "to stderr\n")
  (func (export "_start")
    (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 16)))
    (drop (call $fd_write (i32.const 2) (i32.const 8) (i32.const 1) (i32.const 16)))))
