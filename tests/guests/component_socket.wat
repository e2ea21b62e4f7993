;; Asks for a TCP socket (wasi:sockets 0.2). Ends with exit code 1 where the host denies it (access-denied), 0 where
;; it gives one; traps on "unreachable" at any other answer.
(component
  (import "wasi:sockets/network@0.2.0" (instance $network
    (type $codes (enum "unknown" "access-denied" "not-supported" "invalid-argument" "out-of-memory" "timeout"
      "concurrency-conflict" "not-in-progress" "would-block" "invalid-state" "new-socket-limit"
      "address-not-bindable" "address-in-use" "remote-unreachable" "connection-refused" "connection-reset"
      "connection-aborted" "datagram-too-large" "name-unresolvable" "temporary-resolver-failure"
      "permanent-resolver-failure"))
    (export "error-code" (type (eq $codes)))
    (type $families (enum "ipv4" "ipv6"))
    (export "ip-address-family" (type (eq $families)))))
  (alias export $network "error-code" (type $error-code))
  (alias export $network "ip-address-family" (type $ip-address-family))
  (import "wasi:sockets/tcp@0.2.0" (instance $tcp (export "tcp-socket" (type (sub resource)))))
  (alias export $tcp "tcp-socket" (type $tcp-socket))
  (import "wasi:sockets/tcp-create-socket@0.2.0" (instance $create
    (alias outer 1 $error-code (type $outer-code))
    (export "error-code" (type $error-code (eq $outer-code)))
    (alias outer 1 $ip-address-family (type $outer-family))
    (export "ip-address-family" (type $ip-address-family (eq $outer-family)))
    (alias outer 1 $tcp-socket (type $outer-socket))
    (export "tcp-socket" (type $tcp-socket (eq $outer-socket)))
    (export "create-tcp-socket" (func
      (param "address-family" $ip-address-family) (result (result (own $tcp-socket) (error $error-code)))))))

  (core module $Memory (memory (export "memory") 1))
  (core instance $memory_holder (instantiate $Memory))
  (alias core export $memory_holder "memory" (core memory $memory))
  (core func $create_socket (canon lower (func $create "create-tcp-socket") (memory $memory)))

  (core module $Program
    (import "host" "create_socket" (func $create_socket (param $family i32) (param $result i32)))
    (import "host" "memory" (memory 1))
    ;; The answer at 16: 0 and, at 20, the socket; or 1 and, at 20, the code.
    (func (export "run") (result i32)
      (call $create_socket (i32.const 0) (i32.const 16))
      (if (i32.eqz (i32.load8_u (i32.const 16)))
        (then (return (i32.const 0))))
      (if (i32.ne (i32.load8_u (i32.const 20)) (i32.const 1))
        (then unreachable))
      (i32.const 1)))
  (core instance $program (instantiate $Program (with "host" (instance
    (export "create_socket" (func $create_socket))
    (export "memory" (memory $memory))))))
  (func $run (result (result)) (canon lift (core func $program "run")))
  (instance $cli_run (export "run" (func $run)))
  (export "wasi:cli/run@0.2.0" (instance $cli_run)))
