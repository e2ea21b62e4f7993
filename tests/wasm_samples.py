"""Modules and components as WAT text, one per corner of the binary format, and bytes that are not Wasm."""

import wasmtime

from wasmdock.wasm import WasmBinary, parse

MODULE_HEAD = b"\0asm\x01\0\0\0"
COMPONENT_HEAD = b"\0asm\x0d\0\x01\0"

MODULES = {
    "empty": "(module)",
    "command": '(module (memory (export "memory") 1) (func (export "_start")))',
    "reactor": '(module (func (export "_initialize")) (func (export "run")))',
    "multi value": '(module (func (export "two") (param i32 i64) (result f32 f64) unreachable))',
    "simd": '(module (func (export "v") (param v128) (result v128) local.get 0))',
    "references": """(module
        (table (export "t") 3 7 funcref) (table (export "e") 1 externref)
        (func $f (export "r") (param externref) (result funcref) ref.null func) (elem declare func $f))""",
    "memories": """(module
        (import "env" "shared" (memory 1 16 shared)) (memory (export "big") i64 2 5) (memory 3))""",
    "page size": '(module (memory (export "m") 10 20 (pagesize 1)))',
    "globals": """(module (global (export "__heap_base") i32 (i32.const 1048576))
        (global (export "low") i32 (i32.const -1)) (global (export "wide") (mut i64) (i64.const -5000000000))
        (global (export "half") f32 (f32.const 0.5)) (global (export "nan") f64 (f64.const nan))
        (global (export "sum") i32 (i32.add (i32.const 1) (i32.const 2)))
        (global (export "none") funcref (ref.null func)) (global v128 (v128.const i64x2 1 2)))""",
    "imports": """(module (import "env" "f" (func (param i32) (result i64)))
        (import "env" "g" (global (mut i32))) (import "env" "t" (table 1 2 funcref))
        (import "" "" (func)) (import "wasi_snapshot_preview1" "fd_write"
        (func (param i32 i32 i32 i32) (result i32))))""",
    "tags": """(module (import "env" "oops" (tag (param i32))) (tag $e (export "mine") (param i64))
        (func (export "throw") (throw $e (i64.const 1))))""",
    "tail calls": '(module (func $f (export "f") (param i32) (result i32) (return_call $f (local.get 0))))',
    "gc types": """(module (rec (type $node (struct (field i32) (field (mut (ref null $node)))))
        (type $list (array (mut i8)))) (type $base (sub (struct (field i16))))
        (type $child (sub $base (struct (field i16) (field anyref))))
        (func (export "make") (param (ref null $list) i31ref) (result (ref $node))
          (struct.new $node (i32.const 1) (ref.null $node)))
        (global $g (export "g") (ref $list) (array.new_fixed $list 2 (i32.const 1) (i32.const 2))))""",
    "function references": """(module (type $t (func (param i32) (result i32)))
        (func $id (type $t) local.get 0) (elem declare func $id)
        (func (export "call") (param (ref $t)) (result i32) (call_ref $t (i32.const 1) (local.get 0))))""",
    "table with initial value": """(module (type $t (func)) (func $f) (elem declare func $f)
        (table (export "t") 2 (ref $t) (ref.func $f)))""",
    "bulk memory": """(module (memory 1) (data $d "abc") (data (i32.const 8) "\\00\\01\\02\\03")
        (table 2 funcref) (elem (i32.const 0) func 0) (func (data.drop $d)))""",
    "start": "(module (memory 1) (func $a) (func $init) (start $init))",
    "names": '(module $calculator (func $add (export "añadir") (param $x i32) (result i32) local.get $x))',
    "several names of one thing": """(module (global $g i32 (i32.const 7))
        (export "first" (global $g)) (export "second" (global $g)) (memory $m 1) (export "a" (memory $m)))""",
}

COMPONENTS = {
    "empty": "(component)",
    "function": """(component (core module $m (func (export "add") (param i32 i32) (result i32)
          (i32.add (local.get 0) (local.get 1))) (memory (export "memory") 2 4)
          (global (export "__heap_base") i32 (i32.const 4096)))
        (core instance $i (instantiate $m))
        (func (export "add") (param "a" u32) (param "b" s8) (result u32)
          (canon lift (core func $i "add"))))""",
    "types": """(component (import "take" (func (param "a" (list string)) (param "b" (option u8))
          (param "c" (tuple f32 f64 char bool)) (param "d" (result u64 (error string)))
          (param "e" (result)) (param "f" (result (error s16))) (result (list (option string))))))""",
    "named types": """(component
        (type $point' (record (field "x" f64) (field "y" f64)))
        (import "point" (type $point (eq $point')))
        (type $color' (enum "red" "green")) (import "color" (type $color (eq $color')))
        (type $shape' (variant (case "dot") (case "line" $point)))
        (import "shape" (type $shape (eq $shape')))
        (type $marks' (flags "a" "b")) (import "marks" (type $marks (eq $marks')))
        (import "draw" (func (param "s" $shape) (param "m" $marks) (result $color))))""",
    "instance": """(component (import "demo:log/sink@1.2.3" (instance
          (export "handle" (type (sub resource)))
          (export "open" (func (param "path" string) (result (own 0))))
          (export "write" (func (param "to" (borrow 0)) (param "text" string)))))
        (alias export 0 "open" (func $open)) (export "again" (func $open)))""",
    "run": """(component (core module $m (func (export "run") (result i32) i32.const 0))
        (core instance $i (instantiate $m))
        (func $run (result (result)) (canon lift (core func $i "run")))
        (instance $run (export "run" (func $run)))
        (export "wasi:cli/run@0.2.3" (instance $run)))""",
    "nested component": """(component
        (component $inner (import "f" (func $f (result u8))) (export "g" (func $f)))
        (import "host" (func $host (result u8)))
        (instance $i (instantiate $inner (with "f" (func $host))))
        (export "demo:all/api@0.1.0" (instance $i)))""",
    "http": """(component (instance $none) (export "wasi:http/incoming-handler@0.2.0" (instance $none)))""",
}

NOT_WASM = {
    "empty": (b"", "an empty file"),
    "elf": (b"\x7fELF\x02\x01\x01\x00" + bytes(8), "an ELF file: a Linux program"),
    "cwasm": (b"\x7fELF\x02\x01\x01\xc8" + bytes(8), "already compiled by wasmtime"),
    "gzip": (b"\x1f\x8b\x08\x00", "compressed with gzip"),
    "zip": (b"PK\x03\x04....", "a zip archive"),
    "tar": (b"a.wasm" + bytes(251) + b"ustar\x0000" + bytes(248), "a tar archive"),
    "script": (b"#!/bin/sh\necho\n", "a script"),
    "text form": (b"\n;; hello\n (module)", "text form"),
    "component text form": (b"(component)", "text form"),
    "json": (b'{"schemaVersion": 2}', "JSON text"),
    "noise": (b"h\xffllo", "it begins with 68 ff 6c 6c"),
    "text": (b"hello", "it is text"),
}


def module(name: str) -> WasmBinary:
    return parse(bytes(wasmtime.wat2wasm(MODULES[name])))


def component(name: str) -> WasmBinary:
    return parse(bytes(wasmtime.wat2wasm(COMPONENTS[name])))


def section(number: int, contents: bytes) -> bytes:
    return bytes([number]) + leb(len(contents)) + contents


def leb(value: int) -> bytes:
    out = b""
    while value >= 0x80:
        out, value = out + bytes([value & 0x7F | 0x80]), value >> 7
    return out + bytes([value])
