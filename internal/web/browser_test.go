package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"outlink/domain/link"
)

const chromium = "/usr/bin/chromium"

// slowly serves what a server has, but for one file half a second late.
func slowly(t *testing.T, srv *httptest.Server, file string) string {
	slow := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, file) {
			time.Sleep(500 * time.Millisecond)
		}
		srv.Config.Handler.ServeHTTP(w, r)
	}))
	t.Cleanup(func() { slow.CloseClientConnections(); slow.Close() })
	return slow.URL
}

// A page is live however its scripts arrive. htmx starts as soon as it is there, if
// the page is, and an extension that comes later takes no part.
func TestLiveWhenScriptsAreLate(t *testing.T) {
	ctx, complaints := browser(t)
	_, srv := start(t)
	for _, script := range []string{"htmx.min.js", "hx-sse.min.js", "outlink.js"} {
		err := chromedp.Do(ctx, chromedp.Navigate(slowly(t, srv, script)+"/"), until(`document.querySelector("[data-live-state=on]")`))
		if err != nil {
			t.Errorf("%s is late: %v; the page complained of %q", script, err, complaints())
		}
	}
}

// browser opens a tab that remembers what the page complained of.
func browser(t *testing.T) (context.Context, func() []string) {
	t.Helper()
	if _, err := os.Stat(chromium); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), chromedp.ExecPath(chromium),
		chromedp.Flag("headless", true), chromedp.Flag("no-sandbox", true), chromedp.Flag("disable-gpu", true), chromedp.Flag("disable-quic", true),
		chromedp.Flag("no-first-run", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true))
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx, chromedp.Navigate("about:blank")); err != nil {
		t.Fatal(err)
	}
	ctx, cancel = context.WithTimeout(ctx, time.Minute)
	t.Cleanup(cancel)
	var mu sync.Mutex
	var complaints []string
	if err := chromedp.Listen(ctx, func(ev any) {
		mu.Lock()
		defer mu.Unlock()
		switch e := ev.(type) {
		case *runtime.EventConsoleAPICalled:
			complaints = append(complaints, "console "+string(e.Type))
		case *runtime.EventExceptionThrown:
			complaints = append(complaints, "exception "+e.ExceptionDetails.Text)
		case *cdplog.EventEntryAdded:
			complaints = append(complaints, e.Entry.Text+" "+e.Entry.URL)
		}
	}); err != nil {
		t.Fatal(err)
	}
	return ctx, func() []string { mu.Lock(); defer mu.Unlock(); return complaints }
}

// until waits for an expression to be true. The library's own Poll asks once for each
// frame, which a page that nobody sees need not draw, and in the document of the
// moment, which a navigation may just have replaced.
func until(expression string) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		for deadline := time.Now().Add(20 * time.Second); ; {
			done, err := chromedp.Evaluate[bool]("!!("+expression+")")(ctx, target)
			if done {
				return nil
			}
			if time.Now().After(deadline) {
				return fmt.Errorf("%s is not so: %w", expression, errors.Join(context.DeadlineExceeded, err))
			}
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(20 * time.Millisecond):
			}
		}
	})
}

func TestBrowser(t *testing.T) {
	ctx, complaints := browser(t)
	w, srv := start(t)
	do := func(what string, steps ...chromedp.Action[chromedp.Void]) {
		t.Helper()
		if err := chromedp.Do(ctx, steps...); err != nil {
			t.Fatalf("%s: %v; the page complained of %q", what, err, complaints())
		}
	}
	submit := chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		_, err := chromedp.RunResponse(ctx, chromedp.Click(chromedp.CSS("form.fields button"))) // returns when the next page is there
		return err
	})
	look := func(name string) {
		t.Helper()
		for _, width := range []int64{320, 1200} {
			do("resize", chromedp.EmulateViewport(width, 800))
			wide, err := chromedp.Run(ctx, chromedp.Evaluate[int64](`document.documentElement.scrollWidth`))
			if err != nil || wide > width {
				t.Errorf("%s is %d wide at %d (%v)", name, wide, width, err)
			}
			if dir := os.Getenv("OUTLINK_SCREENSHOTS"); dir != "" {
				shot, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
				if err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(dir, name+"-"+strconv.FormatInt(width, 10)+".png"), shot, 0o644); err != nil {
					t.Fatal(err)
				}
			}
		}
	}

	do("list", chromedp.Navigate(srv.URL+"/"), until(`document.querySelector("#live").innerText.includes("Calendar")`))
	w.change(func() { w.links[0].State.Name = "Calendar, renamed" })
	do("live list", until(`document.querySelector("#live").innerText.includes("Calendar, renamed")`))
	look("list")

	do("form", chromedp.Navigate(srv.URL+"/links/new?provider=custom"), until(`document.querySelector("#redirect .note")`))
	// Typed as a person does: the redirect URL comes when both endpoints are there.
	do("endpoints", until(`window.htmx && (() => { for (const [k, v] of [["authorization_endpoint", "https://id.example.com/auth"], ["token_endpoint", "https://id.example.com/token"]]) {
		const f = document.getElementById(k); f.value = v; f.dispatchEvent(new Event("change", {bubbles: true})); } return true })()`),
		until(`document.querySelector("#redirect_url")?.value.startsWith("https://outlink.example.com/oauth/callback/")`))
	look("form")
	do("problems", submit, until(`document.querySelector("#name-problem") && document.querySelector("#client_secret-problem")`))
	look("problems")
	do("save", chromedp.SendKeys(chromedp.CSS("#name"), "Mine"), chromedp.SendKeys(chromedp.CSS("#client_id"), "c"), chromedp.SendKeys(chromedp.CSS("#client_secret"), "s"),
		submit, until(`document.querySelector("h1")?.innerText == "Mine"`))

	// A link whose client requests its tokens itself: the rest of the form is behind a fold.
	do("ways", chromedp.Navigate(srv.URL+"/links/new?provider=custom"), until(`document.querySelector("details.ways")?.open === false`),
		chromedp.Click(chromedp.CSS("details.ways summary")), until(`document.querySelector("details.ways").open`),
		chromedp.Click(chromedp.CSS("input[value=authorization_code]")), chromedp.Click(chromedp.CSS("input[value=client_credentials]")))
	look("ways")
	do("save a key", chromedp.SendKeys(chromedp.CSS("#name"), "Ledger"), chromedp.SendKeys(chromedp.CSS("#client_id"), "c"), chromedp.SendKeys(chromedp.CSS("#client_key"), "line\nline"),
		chromedp.SendKeys(chromedp.CSS("#scopes"), "read"), chromedp.SendKeys(chromedp.CSS("#token_endpoint"), "https://id.example.com/token"),
		submit, until(`document.querySelector("h1")?.innerText == "Ledger" && document.querySelector("form[action$='/request']") && document.querySelector("#live").innerText.includes("nobody has to consent")`))
	look("requested")
	if got := w.created.ClientSecret.Clear.Reveal(); got != "line\r\nline" {
		t.Errorf("a key of two lines arrived as %d bytes", len(got))
	}

	w.change(func() { w.links[0].State.GrantTypes = link.GrantTypes() })
	do("code", chromedp.Navigate(srv.URL+"/links/"+linkA.String()), until(`document.querySelector("form[action$='/device'] button")`))
	look("waysoflink")
	do("code", chromedp.Click(chromedp.CSS("form[action$='/device'] button")), until(`document.querySelector("#user_code")?.value == "WDJB-MJHT"`))
	look("code")

	do("link", chromedp.Navigate(srv.URL+"/links/"+linkA.String()), until(`document.querySelector("#live").innerText.includes("renews in 12 s")`))
	w.change(func() { w.records[1].Actor = "node:b2" })
	do("live link", until(`document.querySelector(".timeline").innerText.includes("node:b2")`))
	look("link")
	for _, c := range complaints() {
		if c != "Failed to load resource: the server responded with a status of 400 (Bad Request) "+srv.URL+"/links" { // the form with problems
			t.Error("the page complained:", c)
		}
	}
}
