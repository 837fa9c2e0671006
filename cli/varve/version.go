package main

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
)

func versionCommand() *command {
	var format string
	return &command{
		name:     "version",
		short:    "show the version of this program",
		options:  []*option{outputOption(&format)},
		examples: []string{"varve version", "varve version --output json"},
		run: func(_ context.Context, w *world, _ []string) error {
			if format == "table" {
				_, err := fmt.Fprintf(w.out, "varve %s (%s, %s/%s)\n", version(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
				return err
			}
			return document{fields: []docField{
				{"version", version()}, {"go", runtime.Version()}, {"os", runtime.GOOS}, {"arch", runtime.GOARCH},
			}}.print(w.out, format)
		},
	}
}

// version is the module's version as the build recorded it: a tag for "go install ...@v1.2.3", a time and a commit for a
// build from a checkout.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "unknown"
	}
	return info.Main.Version
}
