;; A library without WASI, memory or start. Each export takes and gives one kind of number; all wrap as Wasm does.
;;   add(2, 3) = 5            add64(2, 3) = 5          fadd(0.5, 0.25) = 0.75     dadd(0.5, 0.25) = 0.75
;;   swap(1, 2) = (2, 1)      is_thirteen(13) = 1      nothing() = no result
(module
  (func (export "add") (param $a i32) (param $b i32) (result i32)
    (i32.add (local.get $a) (local.get $b)))
  (func (export "add64") (param $a i64) (param $b i64) (result i64)
    (i64.add (local.get $a) (local.get $b)))
  (func (export "fadd") (param $a f32) (param $b f32) (result f32)
    (f32.add (local.get $a) (local.get $b)))
  (func (export "dadd") (param $a f64) (param $b f64) (result f64)
    (f64.add (local.get $a) (local.get $b)))
  (func (export "swap") (param $a i32) (param $b i64) (result i64 i32)
    (local.get $b)
    (local.get $a))
  (func (export "is_thirteen") (param $number i32) (result i32)
    (i32.eq (local.get $number) (i32.const 13)))
  (func (export "nothing")))
