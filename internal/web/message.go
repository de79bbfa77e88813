package web

import (
	"context"
	"net/http"
	"strings"
	"unicode"
	"unicode/utf8"

	"outlink/domain"
)

// MessagePage says what happened, and what a person can do next.
type MessagePage struct {
	Title    string
	Text     string
	Next     string // what to do next; may be empty
	Link     string // where to go from here; empty: nowhere
	LinkText string
}

// Message writes a page that says what happened, e.g. at the end of the OAuth
// callback. It stays out of caches and out of the next site's referrer, because
// the address that led to it may carry a code.
func Message(w http.ResponseWriter, status int, m MessagePage) {
	h := w.Header()
	h.Set("Content-Security-Policy", policy)
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	m.Text = sentence(m.Text)
	_ = messagePage(m).Render(context.Background(), w) // a browser that is gone needs no answer
}

// failure is the page of an error that a caller may see.
func failure(e *domain.Error) MessagePage {
	m := MessagePage{Title: "That cannot be done", Text: e.Message, Link: "/", LinkText: "Back to the links"}
	switch e.Code {
	case domain.NotFound:
		m.Title = "Not found"
	case domain.PermissionDenied:
		m.Title = "Not allowed"
	case domain.Unavailable:
		m.Title, m.Next = "Not available right now", "Nothing is lost. Try again in a moment."
	case domain.Internal:
		m.Title, m.Next = "Something went wrong", "Try again in a moment; if it stays, ask the operator."
	}
	return m
}

// sentence begins and ends a message as a sentence does.
func sentence(s string) string {
	s = strings.TrimSpace(s)
	if s == "" {
		return ""
	}
	first, n := utf8.DecodeRuneInString(s)
	s = string(unicode.ToUpper(first)) + s[n:]
	if !strings.ContainsAny(s[len(s)-1:], ".!?") {
		s += "."
	}
	return s
}
