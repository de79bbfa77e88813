package projections_test

import (
	"testing"

	"outlink/projections"
)

// A past state that is there is not said to be building.
func TestGenerationStatus(t *testing.T) {
	for _, tt := range []struct {
		want string
		g    projections.Generation
	}{
		{"building", projections.Generation{State: projections.StateBuilding, Label: "early", Passes: 1, Passed: 1}}, // without its indexes
		{"building", projections.Generation{State: projections.StateBuilding, Finished: true}},                       // waits to be switched to
		{"past", projections.Generation{State: projections.StateBuilding, Label: "early", Passes: 1, Passed: 1, Finished: true}},
		{"active", projections.Generation{State: projections.StateActive, Finished: true}},
	} {
		if got := tt.g.Status(); got != tt.want {
			t.Errorf("%+v is %q, want %q", tt.g, got, tt.want)
		}
	}
}
