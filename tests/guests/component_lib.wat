;; A library component without imports; each export takes or gives another kind of WIT value.
;;   add-u32(2, 3) = 5                          is-even(4) = true
;;   greet("Ada") = "Hello, Ada!"               sum([1, 2, 3]) = 6            count-to(3) = [1, 2, 3]
;;   move-point({x: 1, y: 2}, 10) = {x: 11, y: 12}
;;   halve(6) = some(3), halve(7) = none        divide(6, 3) = ok(2), divide(1, 0) = err("division by zero")
;;   next-color(red) = green, then blue, then red
;;   area(circle(2.0)) = 12.56..., area(square(3.0)) = 9.0, area(rectangle((2.0, 3.0))) = 6.0, area(nothing) = 0.0
;; and, in the exported interface wasmdock:samples/numbers@0.1.0, double(21) = 42.
(component
  (core module $Program
    (memory (export "memory") 1)
    (data (i32.const 16) "Hello, ")
    (data (i32.const 32) "division by zero")
    ;; Everything from 1024 on is handed out once and never taken back: an instance lives for one call.
    (global $free (mut i32) (i32.const 1024))

    (func $take (param $bytes i32) (result i32)
      (local $at i32)
      (local.set $at (global.get $free))
      ;; The next one starts at a multiple of 8.
      (global.set $free
        (i32.and (i32.add (i32.add (local.get $at) (local.get $bytes)) (i32.const 7)) (i32.const -8)))
      (block $fits
        (br_if $fits (i32.le_u (global.get $free) (i32.shl (memory.size) (i32.const 16))))
        (br_if $fits (i32.ge_s
          (memory.grow (i32.add (i32.shr_u (local.get $bytes) (i32.const 16)) (i32.const 1)))
          (i32.const 0)))
        unreachable)
      (local.get $at))
    ;; The canonical ABI asks for room here, for a guest's parameters only: there is never an old block.
    (func (export "realloc") (param $old i32) (param $old_size i32) (param $align i32) (param $size i32) (result i32)
      (call $take (local.get $size)))
    ;; Two words in memory: how a string, a list or a small record goes back.
    (func $pair (param $first i32) (param $second i32) (result i32)
      (local $at i32)
      (local.set $at (call $take (i32.const 8)))
      (i32.store (local.get $at) (local.get $first))
      (i32.store offset=4 (local.get $at) (local.get $second))
      (local.get $at))

    (func (export "add-u32") (param $a i32) (param $b i32) (result i32)
      (i32.add (local.get $a) (local.get $b)))
    (func (export "is-even") (param $number i32) (result i32)
      (i32.eqz (i32.and (local.get $number) (i32.const 1))))
    (func (export "double") (param $number i32) (result i32)
      (i32.shl (local.get $number) (i32.const 1)))

    (func (export "greet") (param $name i32) (param $length i32) (result i32)
      (local $text i32)
      (local.set $text (call $take (i32.add (local.get $length) (i32.const 8))))
      (memory.copy (local.get $text) (i32.const 16) (i32.const 7))
      (memory.copy (i32.add (local.get $text) (i32.const 7)) (local.get $name) (local.get $length))
      (i32.store8 offset=7 (i32.add (local.get $text) (local.get $length)) (i32.const 33))
      (call $pair (local.get $text) (i32.add (local.get $length) (i32.const 8))))

    (func (export "sum") (param $numbers i32) (param $count i32) (result i32)
      (local $sum i32)
      (block $done
        (loop $next
          (br_if $done (i32.eqz (local.get $count)))
          (local.set $sum (i32.add (local.get $sum) (i32.load (local.get $numbers))))
          (local.set $numbers (i32.add (local.get $numbers) (i32.const 4)))
          (local.set $count (i32.sub (local.get $count) (i32.const 1)))
          (br $next)))
      (local.get $sum))

    (func (export "count-to") (param $last i32) (result i32)
      (local $numbers i32)
      (local $index i32)
      (local.set $numbers (call $take (i32.shl (local.get $last) (i32.const 2))))
      (block $done
        (loop $next
          (br_if $done (i32.ge_u (local.get $index) (local.get $last)))
          (i32.store
            (i32.add (local.get $numbers) (i32.shl (local.get $index) (i32.const 2)))
            (i32.add (local.get $index) (i32.const 1)))
          (local.set $index (i32.add (local.get $index) (i32.const 1)))
          (br $next)))
      (call $pair (local.get $numbers) (local.get $last)))

    (func (export "move-point") (param $x i32) (param $y i32) (param $by i32) (result i32)
      (call $pair
        (i32.add (local.get $x) (local.get $by))
        (i32.add (local.get $y) (local.get $by))))

    ;; option<u32> in memory: 0 or 1, then the value.
    (func (export "halve") (param $number i32) (result i32)
      (if (result i32) (i32.and (local.get $number) (i32.const 1))
        (then (call $pair (i32.const 0) (i32.const 0)))
        (else (call $pair (i32.const 1) (i32.shr_u (local.get $number) (i32.const 1))))))

    ;; result<u32, string> in memory: 0 and the value, or 1 and the string's address and length.
    (func (export "divide") (param $a i32) (param $b i32) (result i32)
      (local $at i32)
      (local.set $at (call $take (i32.const 12)))
      (if (local.get $b)
        (then
          (i32.store (local.get $at) (i32.const 0))
          (i32.store offset=4 (local.get $at) (i32.div_u (local.get $a) (local.get $b))))
        (else
          (i32.store (local.get $at) (i32.const 1))
          (i32.store offset=4 (local.get $at) (i32.const 32))
          (i32.store offset=8 (local.get $at) (i32.const 16))))
      (local.get $at))

    (func (export "next-color") (param $color i32) (result i32)
      (i32.rem_u (i32.add (local.get $color) (i32.const 1)) (i32.const 3)))

    ;; A variant's parameters: its case, then room for the widest payload.
    (func (export "area") (param $case i32) (param $first f64) (param $second f64) (result f64)
      (block $nothing
        (block $rectangle
          (block $square
            (block $circle
              (br_table $circle $square $rectangle $nothing (local.get $case)))
            (return (f64.mul (f64.const 3.141592653589793) (f64.mul (local.get $first) (local.get $first)))))
          (return (f64.mul (local.get $first) (local.get $first))))
        (return (f64.mul (local.get $first) (local.get $second))))
      (f64.const 0)))
  (core instance $program (instantiate $Program))
  (alias core export $program "memory" (core memory $memory))
  (alias core export $program "realloc" (core func $realloc))

  (type $point-fields (record (field "x" s32) (field "y" s32)))
  (export $point "point" (type $point-fields))
  (type $color-names (enum "red" "green" "blue"))
  (export $color "color" (type $color-names))
  (type $shape-cases (variant (case "circle" f64) (case "square" f64) (case "rectangle" (tuple f64 f64)) (case "nothing")))
  (export $shape "shape" (type $shape-cases))

  (func $add-u32 (param "a" u32) (param "b" u32) (result u32)
    (canon lift (core func $program "add-u32")))
  (func $is-even (param "number" u32) (result bool)
    (canon lift (core func $program "is-even")))
  (func $double (param "number" u32) (result u32)
    (canon lift (core func $program "double")))
  (func $greet (param "name" string) (result string)
    (canon lift (core func $program "greet") (memory $memory) (realloc $realloc)))
  (func $sum (param "numbers" (list u32)) (result u32)
    (canon lift (core func $program "sum") (memory $memory) (realloc $realloc)))
  (func $count-to (param "last" u32) (result (list u32))
    (canon lift (core func $program "count-to") (memory $memory)))
  (func $move-point (param "from" $point) (param "by" s32) (result $point)
    (canon lift (core func $program "move-point") (memory $memory)))
  (func $halve (param "number" u32) (result (option u32))
    (canon lift (core func $program "halve") (memory $memory)))
  (func $divide (param "a" u32) (param "b" u32) (result (result u32 (error string)))
    (canon lift (core func $program "divide") (memory $memory)))
  (func $next-color (param "color" $color) (result $color)
    (canon lift (core func $program "next-color")))
  (func $area (param "shape" $shape) (result f64)
    (canon lift (core func $program "area")))

  (export "add-u32" (func $add-u32))
  (export "is-even" (func $is-even))
  (export "greet" (func $greet))
  (export "sum" (func $sum))
  (export "count-to" (func $count-to))
  (export "move-point" (func $move-point))
  (export "halve" (func $halve))
  (export "divide" (func $divide))
  (export "next-color" (func $next-color))
  (export "area" (func $area))
  (instance $numbers (export "double" (func $double)))
  (export "wasmdock:samples/numbers@0.1.0" (instance $numbers)))
