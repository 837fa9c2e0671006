// Package records is the catalogue of Varve's metastore items: one file per kind with its key, its Go struct and its codec.
// RECORDS.md is the same as a table, with who writes what and when, and the bytes of packed attributes.
//
// A key says what an item is; Item and DecodeX turn a struct into attributes and back. Decoders take items as hostile
// input: they never panic, bound what they allocate by the bytes they were given, and name the attribute that is wrong.
// They ignore attributes they do not know, so that an older agent can read what a newer one has written.
//
// The names of attributes are constants (Attr...), because rooms build conditional updates on single attributes. Packed
// attributes have one encoding per value, so that a condition may compare their bytes.
package records
