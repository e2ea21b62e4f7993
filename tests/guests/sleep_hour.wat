;; Sleeps an hour in one host call, then ends with exit code 0. No deadline inside Wasm reaches it meanwhile.
(module
  (import "wasi_snapshot_preview1" "poll_oneoff"
    (func $poll_oneoff (param $in i32) (param $out i32) (param $count i32) (param $events i32) (result i32)))
  (memory (export "memory") 1)
  ;; A subscription at 0: tag 0 (clock), clock 1 (monotonic), 3,600,000,000,000 ns from now (flags 0).
  (func (export "_start")
    (i32.store (i32.const 16) (i32.const 1))
    (i64.store (i32.const 24) (i64.const 3_600_000_000_000))
    (drop (call $poll_oneoff (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 128)))))
