package demoprovider

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
)

// fetch requests a page and follows redirects.
func fetch(ctx context.Context, browser *http.Client, method, address string) (string, *url.URL, error) {
	req, err := http.NewRequestWithContext(ctx, method, address, nil)
	if err != nil {
		return "", nil, err
	}
	res, err := browser.Do(req)
	if err != nil {
		return "", nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("a page of the sign-in answered with status %d", res.StatusCode)
	}
	return string(body), res.Request.URL, err
}
