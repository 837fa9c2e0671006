// Package simtest proves that the tests of the rooms have teeth: it plants faults that shipped systems lost data by, one at a
// time, and demands that a named test fails. Tests only.
package simtest
