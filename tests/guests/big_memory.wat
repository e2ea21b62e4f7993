;; Declares a memory of at least 100 pages (6,553,600 bytes): a smaller limit refuses it before it starts.
;; With enough memory it ends with exit code 0; its export pages() = 100.
(module
  (memory (export "memory") 100)
  (func (export "_start"))
  (func (export "pages") (result i32)
    (memory.size)))
