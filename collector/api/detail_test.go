package api

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/prometheus/common/config"
)

// TestShapesOfErrors reads what services say in all the shapes in which they say it.
func TestShapesOfErrors(t *testing.T) {
	const j, xml, plain, page = "application/json", "application/xml", "text/plain; charset=utf-8", "text/html"
	for _, c := range []struct {
		status                           int
		kind, body                       string
		class, detail, code, id, foreign string
	}{
		{401, j, `{"error":{"errorCode":"200","message":"Authentication Failed"}}`, classAuth, "Authentication Failed", "200", "", ""},
		{401, j, `{"error":{"errorCode":"210","message":"Permission Denied","details":"no action"}}`, classAuth, "Permission Denied: no action", "210", "", ""},
		{404, j, `{"error":{"errorCode":300,"message":"Not Found Exception"}}`, classNotFound, "Not Found Exception", "300", "", ""},
		{429, j, `{"error":{"errorCode":"400","message":"Exceeded"}}`, classQuota, "Exceeded", "400", "", ""},
		{429, j, `{"error":{"errorCode":400,"message":"x"}}`, classQuota, "x", "400", "", ""},
		{429, j, `{"error":{"errorCode":"410","message":"Throttle Limited, see quotas"}}`, classRateLimited, "Throttle Limited, see quotas", "410", "", ""},
		{429, j, `{"error":{"errorCode":420,"message":"Rate Limited"}}`, classRateLimited, "Rate Limited", "420", "", ""},
		{429, plain, "Quota Exceeded", classQuota, "", "", "", "Quota Exceeded"},
		{429, j, `{"error":{"message":"Quota Exceeded"}}`, classQuota, "Quota Exceeded", "", "", ""},
		{500, j, `{"error":{"errorCode":"900","message":"Unexpected Error"}}`, class5xx, "Unexpected Error", "900", "", ""},
		{400, j, `{"responseError":{"returnCode":"1000","returnMessage":"Bad"}}`, class4xx, "Bad", "1000", "", ""},
		{400, j, `{"responseError":{"returnCode":9001,"returnMessage":"Bad"}}`, class4xx, "Bad", "9001", "", ""},
		{400, j, `{"errorCode":9014,"message":"No such dataset"}`, class4xx, "No such dataset", "9014", "", ""},
		{400, j, `{"code":7,"msg":"No","data":null}`, class4xx, "No", "7", "", ""},
		{400, j, `{"status":{"code":"E12","message":"No"}}`, class4xx, "No", "E12", "", ""},
		{401, j, `{"timestamp":"2024-07-30T11:25:36.558","status":401,"error":"Unauthorized","message":"No signature","path":"/x"}`, classAuth, "No signature", "", "", ""},
		{400, j, `{"timestamp":1,"status":400,"error":"Bad Request","path":"/x"}`, class4xx, "Bad Request", "", "", ""},
		{400, xml, "<?xml version=\"1.0\"?>\n<responseError><returnCode>800</returnCode><returnMessage>Bad &amp; wrong</returnMessage></responseError>", class4xx, "", "800", "", "Bad & wrong"},
		{403, "text/xml", `<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>`, classAuth, "", "AccessDenied", "", "Access Denied"},
		{400, xml, `<unknown><a/></unknown>`, class4xx, "", "", "", ""},
		{400, xml, `<returnMessage>cut`, class4xx, "", "", "", ""},
		{404, j, ``, classNotFound, "", "", "", ""},
		{404, j, "  \n", classNotFound, "", "", "", ""},
		{404, "", "", classNotFound, "", "", "", ""},
		{502, plain, "upstream connect error\nmore", class5xx, "", "", "", "upstream connect error"},
		{502, page, "<!DOCTYPE html><html><head><title>502 Bad\nGateway</title></head><code>x</code></html>", class5xx, "", "", "", "502 Bad Gateway"},
		{403, "", "<html><title>Sign in</title>", classAuth, "", "", "", "Sign in"},
		{403, page, "<p>no", classAuth, "", "", "", ""},
		{400, plain, `{"code":400,"message":"Required parameter is missing","details":"limit"}`, class4xx, "Required parameter is missing: limit", "", "", ""},
		{400, j, `{"code":400,"message":"Required parameter is missing"}`, class4xx, "Required parameter is missing", "", "", ""},
		{503, j, `{"code":503,"message":"Please try again in few minutes.","details":null}`, class5xx, "Please try again in few minutes.", "", "", ""},
		{401, j, `{"error":"invalid_client","error_description":"Invalid client or Invalid client credentials","error_uri":"x"}`, classAuth, "Invalid client or Invalid client credentials", "invalid_client", "", ""},
		{400, j, `{"error":"invalid_grant"}`, class4xx, "invalid_grant", "invalid_grant", "", ""},
		{429, j, `{"error":"RATE_LIMIT_EXCEEDED","message":"Slow down","code":429,"details":{"limit":500,"remaining":0,"retry_after":1800},"request_id":"req_1","timestamp":"x"}`, classRateLimited, "Slow down", "RATE_LIMIT_EXCEEDED", "req_1", ""},
		{403, j, `{"error":"FORBIDDEN","message":"Insufficient permissions","code":403,"details":{"required_permission":"training:read"},"request_id":"req_2"}`, classAuth, "Insufficient permissions: it needs the permission training:read", "", "req_2", ""},
		{409, j, `{"error":"STATE_CONFLICT","message":"No","code":409}`, class4xx, "No", "STATE_CONFLICT", "", ""},
		{500, j, `{"detail":"Failed"}`, class5xx, "Failed", "", "", ""},
		{404, j, `{"detail":"Not Found"}`, classNotFound, "Not Found", "", "", ""},
		{422, j, `{"detail":[{"loc":["query","limit"],"msg":"too big","type":"x"}]}`, class4xx, "query.limit: too big", "", "", ""},
		{400, j, `["a"]`, class4xx, "", "", "", ""},
		{400, j, `"text"`, class4xx, "", "", "", ""},
		{400, j, `{"error":{"error":{"error":{"error":{"error":{"error":{"error":{"message":"deep"}}}}}}}}`, class4xx, "", "", "", ""},
		{400, j, `{"error":{"errorCode":{"a":1},"message":["a","b"]}}`, class4xx, "a; b", "", "", ""},
		{400, j, `{"errorCode":"` + strings.Repeat("9", 500) + `","request_id":"` + strings.Repeat("r", 500) + `"}`, class4xx, "", strings.Repeat("9", 64), strings.Repeat("r", 64), ""},
		{400, j, `{"errorCode":"a\u202e\u0000b\nc","message":"x\u001by"}`, class4xx, "xy", "ab c", "", ""},
	} {
		name := fmt.Sprintf("%d %s", c.status, c.body)
		resp := answer(c.status, c.body, "Content-Type", c.kind)
		client := virtual(Config{}, nil, nil, nil)
		e := (&attempt{client: client, denied: true}).refusal(nil, resp, time.Now(), time.Now())
		want := c.detail
		if c.class == classAuth {
			hint := "the credential is refused; check the key"
			if c.status == 403 || c.code == gatewayPermission {
				hint = "the credential may not do this; check the key"
			}
			want = joinDetail(want, hint)
		}
		if e.Class != c.class || e.Detail != want || e.Code != c.code || e.RequestID != c.id || e.foreign != c.foreign {
			t.Errorf("%.100s: got %s, %q, code %q, id %q, foreign %q", name, e.Class, e.Detail, e.Code, e.RequestID, e.foreign)
		}
		if text := e.Error(); len(text) > 1500 || c.foreign != "" && !strings.Contains(text, "it says: "+c.foreign) {
			t.Errorf("%.100s: says %s", name, text)
		}
	}
}

// The text of an error holds the code and the id, once, and the class and pause of a quota are its own.
func TestErrorText(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, u := onNetwork(t, Config{}, nil, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Ncp-Request-Id", "id-7")
			statusAnswer(429, "application/json", `{"error":{"errorCode":"400","message":"Quota Exceeded"}}`)(w, r)
		})
		err := c.JSON(t.Context(), Request{Operation: "list", Method: http.MethodPost, URL: u}, nil)
		want := "list: POST http://127.0.0.1:80/v1/things: 429 Too Many Requests: Quota Exceeded (code 400) (request id-7) (not before 15m0s)"
		if err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	})
	e := &Error{Detail: "invalid_grant", Code: "invalid_grant"}
	if e.Error() != "invalid_grant" {
		t.Errorf("got %v", e)
	}
}

// A quota that is used up is asked after a quarter of an hour, then half an hour, then an hour; at the rate of before.
func TestQuota(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var at []time.Duration
		var header []string
		began := time.Now()
		c := virtual(Config{}, nil, nil, func(*http.Request) *http.Response {
			if at = append(at, time.Since(began).Round(time.Second)); len(at) == 6 {
				return answer(200, `{}`)
			}
			return answer(429, `{"error":{"errorCode":"400","message":"Quota Exceeded"}}`, header...)
		})
		for range 2 {
			_ = get(t.Context(), c)
		}
		if got := fmt.Sprint(at); got != "[0s 15m0s 45m0s 1h45m0s 2h45m0s 3h45m0s]" {
			t.Errorf("requests at %v", got)
		}
		r := Request{Method: http.MethodPost, URL: mustURL(t, "https://service.example")} // asked once
		at = nil
		if err := c.JSON(t.Context(), r, nil); ClassOf(err) != classQuota || c.gate.limiter.Limit() != 20 {
			t.Errorf("%v a second: %v", c.gate.limiter.Limit(), err)
		}
		time.Sleep(time.Hour)
		at, began, header = nil, time.Now(), []string{"Retry-After", "20"}
		_ = get(t.Context(), c)
		if got := fmt.Sprint(at); got != "[0s 20s 40s]" {
			t.Errorf("requests at %v", got)
		}
	})
}

// An answer that could not be read and is an error says so; one that was read says nothing.
func TestErrorsIn200(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		body := ""
		c, u := onNetwork(t, Config{}, nil, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Request-Id", "id-8")
			jsonAnswer(body)(w, r)
		})
		missing := errors.New("there are no services in it")
		for text, want := range map[string]string{
			`{"code":500,"msg":"Internal","data":null}`:                                                   "there are no services in it; the service says: Internal (code 500) (request id-8)",
			`{"error":{"errorCode":"210","message":"` + canary + ` denied"}}` + strings.Repeat(" ", 9000): "there are no services in it; the service says: <secret> denied (code 210) (request id-8)",
			`{"trains":[]}`:    "there are no services in it (request id-8)",
			`{"message":"hi"`:  "the answer ends in the middle, after 15 bytes; the service says: hi (request id-8)",
			`{"message":hello`: "not valid JSON near byte",
		} {
			body = text
			err := c.JSON(t.Context(), Request{Operation: "list", URL: u, Header: http.Header{"X-Key": {canary}}}, func(d *Decoder) error {
				if err := d.Object(func(string) error { return nil }); err != nil {
					return err
				}
				return missing
			})
			if ClassOf(err) != classDecode || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), canary) {
				t.Errorf("%s: got %v", text, err)
			}
		}
		body = `{"code":500,"msg":"Internal"}`
		if err := ask(t.Context(), c, u); err != nil {
			t.Error(err)
		}
	})
}

// What a request carried is in no error, wherever the service puts it.
func TestNothingSecretInErrors(t *testing.T) {
	const token, password = "tok-9b1e77", "pass-77aa12"
	echo := canary + " " + token + " " + password
	for name, body := range map[string][2]string{
		"json":     {"application/json", `{"error":{"errorCode":"` + canary + `","message":"` + echo + `"},"request_id":"` + token + `","details":"` + echo + `"}`},
		"xml":      {"application/xml", "<e><returnCode>" + token + "</returnCode><returnMessage>" + echo + "</returnMessage></e>"},
		"html":     {"text/html", "<html><title>" + echo + "</title>"},
		"text":     {"text/plain", "Cannot POST /v1/things?token=" + token + " " + echo},
		"hidden":   {"application/json", `{"message":"` + strings.Join(strings.Split(echo, ""), `\u200b`) + `"}`},
		"in a 200": {"application/json", `{"message":"` + echo + `"}`},
	} {
		synctest.Test(t, func(t *testing.T) {
			status := 400
			if name == "in a 200" {
				status = 200
			}
			c := bearerConfig()
			c.HTTP.Authorization.Credentials = config.Secret(canary)
			client, u := onNetwork(t, c, nil, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("X-Request-Id", token)
				statusAnswer(status, body[0], body[1])(w, r)
			})
			u.RawQuery = token
			for kind, sent := range map[string]string{
				"application/json":                  `{"clientId":"me","clientSecret":"` + password + `"}`,
				"application/x-www-form-urlencoded": url.Values{"client_id": {"me"}, "client_secret": {password}}.Encode(),
			} {
				r := Request{Method: http.MethodPost, URL: u, Body: []byte(sent), Header: http.Header{"Content-Type": {kind}}}
				err := client.JSON(t.Context(), r, func(*Decoder) error { return errors.New("odd") })
				var e *Error
				if !errors.As(err, &e) || !strings.Contains(err.Error(), "<secret>") {
					t.Errorf("%s: got %v", name, err)
				}
				for _, secret := range []string{canary, token, password} {
					if text := fmt.Sprintf("%v %+v %#v", err, *e, *e); strings.Contains(text, secret) {
						t.Errorf("%s: %s is in %s", name, secret, text)
					}
				}
			}
		})
	}
}

func FuzzErrorBody(f *testing.F) {
	for _, s := range []string{
		`{"error":{"errorCode":"210","message":"Permission Denied"}}`, `{"responseError":{"returnCode":1,"returnMessage":"x"}}`,
		`{"errorCode":9014,"message":"x"}`, `{"code":1,"msg":"x","data":{}}`, `{"status":{"code":1,"message":"x"}}`,
		`{"timestamp":1,"status":401,"error":"Unauthorized","message":"x"}`, `{"error":"invalid_client","error_description":"x"}`,
		`{"error":"CODE","message":"x","code":429,"details":{"retry_after":1e999,"required_permission":["a"]},"request_id":"r"}`,
		`{"detail":[{"loc":["a",0,null],"msg":"x"}]}`, `<responseError><returnCode>1</returnCode><returnMessage>&amp;&#x202e;</returnMessage>`,
		"<!doctype html><TITLE>x</title>", "plain\ntext", "", "[", "\xff<code>\u0130</code>", `{"message":NaN}`,
	} {
		for _, kind := range []string{"application/json", "application/xml", "text/html", "text/plain", ""} {
			f.Add(s, kind, 429)
		}
	}
	f.Fuzz(func(t *testing.T, body, kind string, status int) {
		status = 200 + max(status, -status)%400
		if status < 200 {
			return
		}
		resp := answer(status, "", "Content-Type", kind)
		resp.Body = io.NopCloser(strings.NewReader(body))
		resp.Request = &http.Request{Header: http.Header{"Authorization": {"Bearer " + canary}}}
		told := toldBy(resp)
		e := told.onto(&Error{Status: status})
		e.Class = statusClass(status, e.Code, told.text())
		for text, most := range map[string]int{e.Detail: maxDetailRunes + 20, e.foreign: maxDetailRunes, e.Code: maxCodeRunes, e.RequestID: maxCodeRunes} {
			if utf8.RuneCountInString(text) > most || !utf8.ValidString(text) || strings.ContainsAny(text, "\x00\n\r\x1b\u202e") || strings.Contains(text, canary) {
				t.Fatalf("got %q", text)
			}
		}
		if e.Error() == "" && body != "" && e.Class == "" {
			t.Fatal("says nothing")
		}
		if wait, ok := told.wait(http.Header{}, time.Unix(1e9, 0)); ok && (wait < time.Second || wait > time.Hour) {
			t.Fatalf("waits %v", wait)
		}
	})
}
