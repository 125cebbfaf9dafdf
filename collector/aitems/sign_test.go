package aitems

import (
	"bufio"
	"bytes"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/aitems/aitemstest"
	"github.com/trainbridge/trainbridge/collector/api"
)

// TestVectors has signatures that were made by other programs.
func TestVectors(t *testing.T) {
	for target, want := range map[string]string{
		"POST /vserver/v2/createServerInstances?regionCode=KR":                            "xBcE26XFU55BMjppdPT7ZY3oDrqoOedfPyAn3Cq4lUw=",
		"GET /api/v1/services":                                                            "eQzbiR1kxd5FBFK5QAOpmNaqaqKjyO6arAwEOmlQ89o=",
		"GET /api/v1/services?offset=0&limit=1000":                                        "8+OIII3On5jB9jTbyjtsZdzhq3ZT+RZRM860UySgqd8=",
		"GET /api/v1/services/svc123/trains":                                              "LN6ifeGo9AFWAGEnETitsHnumnjoUQiBALEYjHLoQ8k=",
		"GET /api/v1/services/svc123/trains?":                                             "mrRCcjHDhIcUAUaiBm7DlukWfDJ1T9bsTyr/FH9NGxc=",
		"GET /api/v1/services/svc123/trains?isRecent=true":                                "vR74CrFNzhl5ppYDoa1zWKHxGv/Ssf3hzHH8ITR8a/8=",
		"GET /api/v1/services/svc123/trains?offset=0&limit=1000":                          "d7F0pCSvL8lohrHOnpjuK5YyJn+jXacm3UyPhmWs7JU=",
		"GET /api/v1/services/svc123/trains?limit=1000&offset=0":                          "6aVu9cBQfy7nk9/z4HAR0rifUPP0SE2yY3frD3Qxn1M=",
		"GET /services/svc123/trains?isRecent=true":                                       "DRC7poqHRjXrI0Y6evwedOcmcijxZOf+i8VbhdQqloo=",
		"GET /api/v1/services/svc123/trains/pop/versions/maqll000001":                     "XUPXmeDJT9fL1OKkuyfpUF9scicue5CACAW+/3EOw1k=",
		"GET /api/v1/services/svc123/updates?trainVersion=maqll000001&type=pop":           "CnKwOGOHBYZc9gM1xHdxcZt+n497bmHmYuT7G0/Dca0=",
		"get /api/v1/services/svc123/updates?trainVersion=maqll000001&type=pop":           "CnKwOGOHBYZc9gM1xHdxcZt+n497bmHmYuT7G0/Dca0=",
		"GET https://aitems.apigw.ntruss.com/api/v1/services?offset=0&limit=1000":         "8+OIII3On5jB9jTbyjtsZdzhq3ZT+RZRM860UySgqd8=",
		"GET https://aitems.apigw.ntruss.com/api/v1/services/svc123/trains?":              "mrRCcjHDhIcUAUaiBm7DlukWfDJ1T9bsTyr/FH9NGxc=",
		"GET https://aitems.apigw.ntruss.com/api/v1/services/svc123/trains?isRecent=true": "vR74CrFNzhl5ppYDoa1zWKHxGv/Ssf3hzHH8ITR8a/8=",
	} {
		method, target, _ := strings.Cut(target, " ")
		if u, err := url.Parse(target); err == nil && u.Host != "" {
			target = u.RequestURI()
		}
		if got := signature(testSecret, method, target, "1700000000000", testAccess); got != want {
			t.Errorf("%s %s: %s, want %s", method, target, got, want)
		}
	}
}

// TestSignerVectors has the signer itself make two of the vectors, in a world whose time is theirs.
func TestSignerVectors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.UnixMilli(1700000000000)))
		s := testSigner(t)
		for target, want := range map[string]string{
			"https://aitems.apigw.ntruss.com/api/v1/services/svc123/trains?isRecent=true":                      "vR74CrFNzhl5ppYDoa1zWKHxGv/Ssf3hzHH8ITR8a/8=",
			"https://aitems.apigw.ntruss.com/api/v1/services/svc123/updates?trainVersion=maqll000001&type=pop": "CnKwOGOHBYZc9gM1xHdxcZt+n497bmHmYuT7G0/Dca0=",
		} {
			s.last.Store(0)
			r, _ := http.NewRequest(http.MethodGet, target, nil)
			if err := s.Sign(t.Context(), r); err != nil {
				t.Fatal(err)
			}
			h := r.Header
			if h.Get("x-ncp-apigw-timestamp") != "1700000000000" || h.Get("x-ncp-iam-access-key") != testAccess ||
				h.Get("x-ncp-apigw-signature-v2") != want || h.Get("Content-Type") != "application/json" {
				t.Errorf("%s: %v", target, h)
			}
		}
	})
}

func testSigner(t testing.TB) *signer {
	c := Config{AccessKey: testAccess, SecretKey: testSecret}
	access, secret, err := c.credentials()
	if err != nil {
		t.Fatal(err)
	}
	return &signer{access: access, secret: secret, clock: &clock{
		Observer: collector.NewHealth(time.Now()), log: slog.New(slog.DiscardHandler), told: new(api.Hourly), trusted: true,
	}}
}

// TestTimestampsAreFresh has attempts in one moment, and a clock that was set back.
func TestTimestampsAreFresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := testSigner(t)
		seen := map[int64]bool{}
		for range 500 {
			at := s.timestamp()
			if seen[at] {
				t.Fatal("a timestamp came twice")
			}
			seen[at] = true
		}
		if d := s.last.Load() - time.Now().UnixMilli(); d > nearby {
			t.Errorf("timestamps run ahead by %dms", d)
		}
		s.clock.Skew(10 * time.Minute)
		s.timestamp()
		s.clock.Skew(0)
		if at := s.timestamp(); at != time.Now().UnixMilli() {
			t.Errorf("a clock that was corrected is %dms off", at-time.Now().UnixMilli())
		}
	})
}

// TestClock says how far the service's clock is followed.
func TestClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, c := range []struct {
			skew, want time.Duration
			trusted    bool
		}{
			{0, 0, true}, {20 * time.Second, 0, true}, {-20 * time.Second, 0, true}, {time.Minute, time.Minute, true},
			{-7 * time.Minute, -7 * time.Minute, true}, {14 * time.Minute, 14 * time.Minute, true}, {time.Hour, 15 * time.Minute, true},
			{-48 * time.Hour, -15 * time.Minute, true}, {7 * time.Minute, 0, false}, {-time.Hour, 0, false},
		} {
			clock := testSigner(t).clock
			clock.trusted = c.trusted
			clock.Skew(c.skew)
			if got := time.Until(clock.now()); got != c.want {
				t.Errorf("skew %v, trusted %v: corrected by %v, want %v", c.skew, c.trusted, got, c.want)
			}
			if got := collectorSkew(clock); got != c.skew {
				t.Errorf("skew %v is shown as %v", c.skew, got)
			}
		}
	})
}

func collectorSkew(c *clock) time.Duration {
	return *c.Observer.(*collector.Health).View().Skew
}

func TestWhoseClockIsFollowed(t *testing.T) {
	for address, want := range map[string]bool{
		"https://aitems.apigw.ntruss.com/api/v1": true, "http://127.0.0.1:80/api/v1": true, "http://[::1]/api/v1": true,
		"http://localhost:8080/api/v1": true, "http://aitems.example/api/v1": false, "http://10.0.0.1/api/v1": false,
	} {
		u, _ := url.Parse(address)
		if isProven(u) != want {
			t.Errorf("%s: followed %v", address, !want)
		}
	}
}

// TestSkewedService has a clock that is off by more than the gateway takes. The first attempt is refused, the second is signed with the
// service's time.
func TestSkewedService(t *testing.T) {
	for _, skew := range []time.Duration{8 * time.Minute, -8 * time.Minute, 18 * time.Minute, -3 * time.Hour, 4 * time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, aitemstest.Options{}, nil)
			b.server.AddTraining(b.server.AddService(aitemstest.Service{Name: "shop"}), aitemstest.Training{})
			b.server.SetFaults(aitemstest.Faults{ClockSkew: skew})
			l, err := b.list()
			works := skew.Abs() < maxSkew+refusedSkew
			if works != (err == nil && len(l.Jobs) == 1) {
				t.Errorf("skew %v: %d jobs, %v", skew, len(l.Jobs), err)
			}
			told := skew.Abs() >= refusedSkew
			if got := strings.Contains(b.log.String(), "synchronize it (NTP)"); got != told {
				t.Errorf("skew %v: log %s", skew, b.log)
			}
			if err != nil && !strings.Contains(err.Error(), "this machine's clock is 3h0m") {
				t.Errorf("skew %v: %v", skew, err)
			}
			time.Sleep(10 * time.Minute) // the rest of a refused key
			err = b.source.Probe(t.Context())
			if told != (err != nil && strings.Contains(err.Error(), "clock is")) {
				t.Errorf("skew %v: probe %v", skew, err)
			}
			if shown := *b.health.View().Skew; (shown - skew).Abs() > time.Second {
				t.Errorf("skew %v is shown as %v", skew, shown)
			}
			b.behaved("stale_timestamp")
		})
	}
}

// TestSignsWhatIsSent has the request target as it leaves the machine against the one that was signed.
func TestSignsWhatIsSent(t *testing.T) {
	for _, target := range []string{
		"https://h/api/v1/services", "https://h/api/v1/services?", "https://h/api/v1/services?b=2&a=1", "https://h/api/v1/a%2Fb/c?x=%20+",
		"https://h/api/v1/서비스?q=한", "https://h", "https://h//api//v1?%", "https://h/a;b?c;d",
	} {
		signsWhatIsSent(t, target)
	}
}

func FuzzTarget(f *testing.F) {
	for _, s := range []string{"https://h/api/v1/services?offset=0&limit=2", "http://h/?", "https://h/%41%2f?a=%zz", "https://h/a b", "https://h/\x7f"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, target string) { signsWhatIsSent(t, target) })
}

func signsWhatIsSent(t *testing.T, target string) {
	r, err := http.NewRequest(http.MethodGet, target, nil)
	if err != nil || r.URL.Host == "" || r.URL.Opaque != "" || r.URL.Scheme == "" {
		return
	}
	if err := testSigner(t).Sign(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	var sent bytes.Buffer
	if err := r.Write(&sent); err != nil {
		return // it cannot be sent
	}
	got, err := http.ReadRequest(bufio.NewReader(&sent))
	if err != nil {
		return
	}
	h := got.Header
	want := signature(testSecret, "GET", got.RequestURI, h.Get(timestampHeader), h.Get(accessHeader))
	if h.Get(signatureHeader) != want {
		t.Errorf("%q: the signature is not that of %q", target, got.RequestURI)
	}
}
