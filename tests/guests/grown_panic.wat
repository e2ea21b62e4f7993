;; Takes 300 MiB, which a limit of 512 MiB allows, and then panics for a reason of its own: "unreachable".
(module
  (memory (export "memory") 17)
  (func (export "_start")
    (drop (memory.grow (i32.const 4800)))
    unreachable))
