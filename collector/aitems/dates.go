package aitems

import (
	"errors"
	"strings"
	"time"

	"github.com/trainbridge/trainbridge/collector"
)

const defaultZone = "Asia/Seoul"

// parseZone is the zone of a setting. That of Korea needs no zone data, which a container may lack: Korea has had no
// daylight saving since 1988.
func parseZone(name string) (*time.Location, error) {
	switch name {
	case defaultZone, "KST":
		return time.FixedZone("KST", 9*60*60), nil
	case "UTC", "Z":
		return time.UTC, nil
	case "", "Local":
		return nil, errors.New("write Asia/Seoul, UTC, or an offset such as +09:00")
	}
	if name[0] == '+' || name[0] == '-' {
		t, err := time.Parse("-07:00", name)
		if err != nil {
			return nil, errors.New("is not an offset: write it as +09:00")
		}
		_, offset := t.Zone()
		return time.FixedZone(name, offset), nil
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		return nil, errors.New("this machine does not know the zone " + quote(name) + ": write its offset, such as +09:00")
	}
	return zone, nil
}

// layouts are the forms of a date without a zone, and with one. Go takes a fraction of any length after the seconds.
var layouts = []string{
	"2006-01-02T15:04:05", "2006-01-02 15:04:05",
	"2006-01-02T15:04:05Z07:00", "2006-01-02T15:04:05Z0700", "2006-01-02 15:04:05Z07:00",
}

// maxDate bounds the text that is read as a date.
const maxDate = 64

// parseDate reads a date of the service; one without a zone is in zone. Years that no training has are not dates.
func parseDate(s string, zone *time.Location) (collector.Time, bool) {
	s = strings.TrimSpace(s)
	if s == "" || len(s) > maxDate {
		return 0, false
	}
	for _, layout := range layouts {
		t, err := time.ParseInLocation(layout, s, zone)
		if err == nil && t.Year() >= 2000 && t.Year() < 2200 {
			return collector.TimeOf(t), true
		}
	}
	return 0, false
}
