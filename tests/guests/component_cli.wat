;; A command component (wasi:cli/run 0.2): prints "Hello from a component!" on stdout and ends with exit code 0.
(component $component_cli
  (import "wasi:io/error@0.2.0" (instance $error
    (export "error" (type (sub resource)))))
  (alias export $error "error" (type $error-resource))
  (import "wasi:io/streams@0.2.0" (instance $streams
    (export "output-stream" (type $output-stream (sub resource)))
    (alias outer $component_cli $error-resource (type $error-alias))
    (export "error" (type $error (eq $error-alias)))
    (type $stream-error-cases (variant (case "last-operation-failed" (own $error)) (case "closed")))
    (export "stream-error" (type $stream-error (eq $stream-error-cases)))
    (export "[method]output-stream.blocking-write-and-flush"
      (func (param "self" (borrow $output-stream)) (param "contents" (list u8))
        (result (result (error $stream-error)))))))
  (alias export $streams "output-stream" (type $output-stream-resource))
  (import "wasi:cli/stdout@0.2.0" (instance $stdout
    (alias outer $component_cli $output-stream-resource (type $output-stream-alias))
    (export "output-stream" (type $output-stream (eq $output-stream-alias)))
    (export "get-stdout" (func (result (own $output-stream))))))

  ;; The memory comes first: the lowered import reads it, and the program imports both.
  (core module $Memory
    (memory (export "memory") 1)
    (data (i32.const 16) "Hello from a component!\n"))
  (core instance $memory_holder (instantiate $Memory))
  (alias core export $memory_holder "memory" (core memory $memory))
  (core func $get_stdout (canon lower (func $stdout "get-stdout")))
  (core func $write (canon lower
    (func $streams "[method]output-stream.blocking-write-and-flush")
    (memory $memory)))
  (core func $drop_stream (canon resource.drop $output-stream-resource))

  (core module $Program
    (import "host" "get_stdout" (func $get_stdout (result i32)))
    (import "host" "write" (func $write (param $stream i32) (param $at i32) (param $length i32) (param $result i32)))
    (import "host" "drop_stream" (func $drop_stream (param $stream i32)))
    (import "host" "memory" (memory 1))
    ;; The value is wasi:cli/run's result: 0 ok, 1 error. The write's own result starts at 0 with the same code.
    (func (export "run") (result i32)
      (local $stream i32)
      (local.set $stream (call $get_stdout))
      (call $write (local.get $stream) (i32.const 16) (i32.const 24) (i32.const 0))
      (call $drop_stream (local.get $stream))
      (i32.load8_u (i32.const 0))))
  (core instance $program (instantiate $Program
    (with "host" (instance
      (export "get_stdout" (func $get_stdout))
      (export "write" (func $write))
      (export "drop_stream" (func $drop_stream))
      (export "memory" (memory $memory))))))

  (func $run (result (result)) (canon lift (core func $program "run")))
  (instance $cli_run (export "run" (func $run)))
  (export "wasi:cli/run@0.2.0" (instance $cli_run)))
