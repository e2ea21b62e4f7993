;; Asks for a function "missing" of a module "env" that no host has: linking fails and names both.
(module
  (import "env" "missing" (func $missing (param i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "_start")
    (drop (call $missing (i32.const 1)))))
