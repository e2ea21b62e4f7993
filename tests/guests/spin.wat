;; Loops for ever without calling the host: only a deadline, fuel or a signal ends it.
(module
  (memory (export "memory") 1)
  (func (export "_start")
    (loop $again
      (br $again))))
