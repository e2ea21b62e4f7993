;; A command component (wasi:cli/run 0.2) that ends with exit code 200, by the exit-with-code of wasi:cli/exit.
(component
  (import "wasi:cli/exit@0.2.3" (instance $exit (export "exit-with-code" (func (param "status-code" u8)))))
  (core func $with_code (canon lower (func $exit "exit-with-code")))
  (core module $Program
    (import "host" "exit" (func $exit (param i32)))
    (func (export "run") (result i32)
      (call $exit (i32.const 200))
      (i32.const 0)))
  (core instance $host (export "exit" (func $with_code)))
  (core instance $program (instantiate $Program (with "host" (instance $host))))
  (func $run (result (result)) (canon lift (core func $program "run")))
  (instance $cli_run (export "run" (func $run)))
  (export "wasi:cli/run@0.2.0" (instance $cli_run)))
