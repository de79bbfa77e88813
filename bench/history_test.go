package bench

import (
	"testing"
	"time"

	"outlink/domain"
	"outlink/domain/grant"
	past "outlink/internal/history"
)

// BenchmarkHistory is a grant of ten thousand events among as many of nineteen
// others: all of its states one after the other, and its link as it was half-way.
func BenchmarkHistory(b *testing.B) {
	h := newHistory(b, 1, 200_000)
	first, err := h.feed.Range(b.Context(), nil, 0, 1)
	if err != nil {
		b.Fatal(err)
	}
	link := first[0].Link
	key := domain.Key{Link: link, Grant: grant.ID(link, "user7")}
	b.Run("steps of a grant", func(b *testing.B) {
		var all times
		for b.Loop() {
			all.measure(func() {
				steps, err := past.GrantSteps(b.Context(), h.feed, key, past.Moment{})
				if err != nil || len(steps) < 9_000 {
					b.Fatal(len(steps), err)
				}
			})
		}
		all.report(b)
	})
	b.Run("a link with its grants, half-way", func(b *testing.B) {
		var all times
		for b.Loop() {
			all.measure(func() {
				if _, err := past.LinkAt(b.Context(), h.feed, link, past.Moment{Time: first[0].Time.Add(100 * time.Second)}); err != nil {
					b.Fatal(err)
				}
			})
		}
		all.report(b)
	})
}
