// Package check holds the tests of what stands in deploy/ and of
// docker-compose.yml, as far as they can be tested without a container engine:
// with the parsers, the linter and the server that a deployment meets later. It
// is a module of its own, so that none of them becomes a requirement of the
// binary. It does not pull an image, and does not see what is inside one.
package check
