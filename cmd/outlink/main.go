// Command outlink keeps an organisation's outgoing OAuth 2.0 links alive.
package main

import (
	"context"
	"os"

	"outlink/internal/memory"
)

func main() {
	memory.Use(os.Getenv)
	os.Exit(run(context.Background(), os.Args[1:], os.Getenv, os.Stdin, os.Stdout, os.Stderr))
}
