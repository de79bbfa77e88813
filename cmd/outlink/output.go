package main

import (
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	"outlink/internal/queries"
)

func (a *app) encode(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// print writes data: rows as a table, or the value itself as JSON.
func (a *app) print(v any, header []string, rows [][]string) error {
	switch a.output {
	case "json":
		return a.encode(a.out, v)
	case "jsonl":
		if list := reflect.ValueOf(v); list.Kind() == reflect.Slice {
			for i := range list.Len() {
				if err := a.encode(a.out, list.Index(i).Interface()); err != nil {
					return err
				}
			}
			return nil
		}
		return a.encode(a.out, v)
	}
	text.DisableColors() // the library does not look at the terminal by itself
	t := table.NewWriter()
	t.SetStyle(table.StyleLight)
	t.Style().Options = table.OptionsNoBordersAndSeparators
	t.AppendHeader(cells(header))
	for _, row := range rows {
		t.AppendRow(cells(row))
	}
	_, err := fmt.Fprintln(a.out, t.Render())
	return err
}

// note tells when an answer is older than it should be.
func (a *app) note(s queries.Staleness) {
	if s.Stale != "" {
		fmt.Fprintf(a.err, "outlink: this answer is stale: %s; see: outlink projection status\n", s.Stale)
	}
}

func cells(row []string) table.Row {
	out := make(table.Row, len(row))
	for i, c := range row {
		out[i] = c
	}
	return out
}

// fields prints one thing as a table of two columns.
func (a *app) fields(v any, pairs ...[2]string) error {
	var rows [][]string
	for _, p := range pairs {
		if p[1] != "" {
			rows = append(rows, []string{p[0], p[1]})
		}
	}
	return a.print(v, []string{"field", "value"}, rows)
}

// yes says so, and nothing otherwise.
func yes(is bool) string {
	if is {
		return "yes"
	}
	return ""
}

func when(t *time.Time) string {
	if t == nil || t.IsZero() {
		return ""
	}
	return t.Local().Format("2006-01-02 15:04:05")
}
