package web

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"net/http"
	"time"
)

// The scripts htmx.min.js and hx-sse.min.js are those of htmx 4.0.1 on npm.
//
//go:embed static
var embedded embed.FS

// asset is a static file; its version changes with its content.
type asset struct {
	content []byte
	version string
}

var assets = readAssets()

func readAssets() map[string]asset {
	entries, err := embedded.ReadDir("static")
	if err != nil {
		panic(err) // the directory is named above
	}
	all := make(map[string]asset, len(entries))
	for _, e := range entries {
		content, err := embedded.ReadFile("static/" + e.Name())
		if err != nil {
			panic(err)
		}
		sum := sha256.Sum256(content)
		all[e.Name()] = asset{content, hex.EncodeToString(sum[:6])}
	}
	return all
}

// staticURL is the address of a static file in its present version, which a
// browser need never ask for again.
func staticURL(name string) string { return "/static/" + name + "?v=" + assets[name].version }

func serveStatic(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("file")
	a, ok := assets[name]
	if !ok {
		http.NotFound(w, r)
		return
	}
	h := w.Header()
	h.Set("ETag", `"`+a.version+`"`)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-cache") // asked for again, and answered 304
	if r.URL.Query().Get("v") == a.version {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(a.content))
}
