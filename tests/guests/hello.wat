;; Prints "Hello from a sample guest!" on stdout and ends with exit code 0.
(module
  (import "wasi_snapshot_preview1" "fd_write"
    (func $fd_write (param $fd i32) (param $iovs i32) (param $count i32) (param $written i32) (result i32)))
  (memory (export "memory") 1)
  ;; One iovec at 0: address 16, length 27. The number of bytes written goes to 8.
  (data (i32.const 0) "\10\00\00\00\1b\00\00\00")
  (data (i32.const 16) "Hello from a sample guest!\n")
  (func (export "_start")
    (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))
