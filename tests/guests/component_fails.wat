;; A command component (wasi:cli/run 0.2) that answers error: nothing on stdout, exit code 1. Asks for no import.
(component
  (core module $Program
    (func (export "run") (result i32)
      (i32.const 1)))
  (core instance $program (instantiate $Program))
  (func $run (result (result)) (canon lift (core func $program "run")))
  (instance $cli_run (export "run" (func $run)))
  (export "wasi:cli/run@0.2.0" (instance $cli_run)))
