;; Declares a table of 100,000 elements.
(module
  (memory (export "memory") 1)
  (table 100000 funcref)
  (func (export "_start")))
