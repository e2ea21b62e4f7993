;; Valid, but exports nothing: there is nothing to run and nothing to call.
(module
  (memory 1)
  (func $never_called))
