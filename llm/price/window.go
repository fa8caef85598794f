package price

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// window is a set of hours on some days of a calendar, on the clock of its time zone.
type window struct {
	zone     *time.Location
	hours    []hours
	weekdays [7]bool
	holidays []days // closed whatever the weekday
	extra    []days // open whatever the weekday, and holidays too
}

// hours are minutes after midnight, from included and to excluded. With to at or before from they end
// on the next day, and belong to the day they began on.
type hours struct{ from, to int }

// days are the days from first to last, both included.
type days struct{ first, last date }

// date is a day as year*10000 + month*100 + day.
type date int

// dateOf returns the day of t, back days earlier, and its weekday.
func dateOf(t time.Time, back int) (date, time.Weekday) {
	year, month, day := t.Date()
	noon := time.Date(year, month, day-back, 12, 0, 0, 0, time.UTC)
	year, month, day = noon.Date()
	return date(year*10000 + int(month)*100 + day), noon.Weekday()
}

// contains reports whether the moment lies in the window; every moment lies in a nil window.
func (w *window) contains(at time.Time) bool {
	if w == nil {
		return true
	}
	local := at.In(w.zone)
	minute := local.Hour()*60 + local.Minute()
	for _, h := range w.hours {
		overnight := h.to <= h.from
		if minute >= h.from && (overnight || minute < h.to) && w.opens(dateOf(local, 0)) {
			return true
		}
		if overnight && minute < h.to && w.opens(dateOf(local, 1)) {
			return true
		}
	}
	return false
}

// opens reports whether the window's hours begin on the day.
func (w *window) opens(day date, weekday time.Weekday) bool {
	among := func(d days) bool { return d.first <= day && day <= d.last }
	if slices.ContainsFunc(w.extra, among) {
		return true
	}
	return w.weekdays[weekday] && !slices.ContainsFunc(w.holidays, among)
}

func (r *reader) readWindow(n *yaml.Node) {
	e := r.entry(n, "window", "name", "time_zone", "hours", "weekdays", "holidays", "holidays_until", "extra_days")
	name := e.name("name")
	e.where = fmt.Sprintf("window %q", name)
	if r.windows[name] != nil {
		e.invalid("name", "a name no other window has")
	}
	if _, ok := parseDate(e.text("holidays_until")); e.has("holidays_until") && !ok {
		e.invalid("holidays_until", "the last day whose holidays are known, such as 2026-12-31")
	}
	r.windows[name] = &window{
		zone:     e.zone(),
		hours:    e.hours(),
		weekdays: e.weekdays(),
		holidays: e.days("holidays"),
		extra:    e.days("extra_days"),
	}
}

// zone returns a fixed offset, which needs no time zone database, or a zone of the IANA database.
func (e entry) zone() *time.Location {
	text := e.text("time_zone")
	if t, err := time.Parse("-07:00", text); err == nil {
		_, seconds := t.Zone()
		return time.FixedZone(text, seconds)
	}
	zone, err := time.LoadLocation(text)
	if err != nil || text == "" || text == "Local" {
		e.invalid("time_zone", "an offset such as +08:00, or a zone of the system's time zone database such as Asia/Shanghai")
		return time.UTC
	}
	return zone
}

func (e entry) hours() []hours {
	const want = "a list of hours such as 09:00-12:00, or 22:00-06:00 for those that end on the next day"
	var all []hours
	for _, n := range e.list("hours") {
		from, to, _ := strings.Cut(n.Value, "-")
		h := hours{minute(from), minute(to)}
		if h.from < 0 || h.to < 0 || h.from == h.to || h.from == 24*60 {
			e.invalidItem(n, "hours", want)
		}
		all = append(all, h)
	}
	if len(all) == 0 {
		e.invalid("hours", want)
	}
	return all
}

// minute returns the minutes from midnight to a time of day such as 09:00, or -1. 24:00 is the
// midnight a day ends with.
func minute(text string) int {
	if text == "24:00" {
		return 24 * 60
	}
	t, err := time.Parse("15:04", text)
	if err != nil {
		return -1
	}
	return t.Hour()*60 + t.Minute()
}

// weekdays returns the days of the week the hours begin on: all of them by default.
func (e entry) weekdays() [7]bool {
	names := []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}
	if !e.has("weekdays") {
		return [...]bool{true, true, true, true, true, true, true}
	}
	var open [7]bool
	for _, n := range e.list("weekdays") {
		i := slices.Index(names, n.Value)
		if i < 0 {
			e.invalidItem(n, "weekdays", "a list of mon, tue, wed, thu, fri, sat, sun")
			continue
		}
		open[i] = true
	}
	return open
}

func (e entry) days(key string) []days {
	var all []days
	for _, n := range e.list(key) {
		first, last, isRange := strings.Cut(n.Value, "..")
		if !isRange {
			last = first
		}
		from, okFrom := parseDate(first)
		to, okTo := parseDate(last)
		if !okFrom || !okTo || from > to {
			e.invalidItem(n, key, "days such as 2026-10-01, or 2026-10-01..2026-10-07 with both ends included")
		}
		all = append(all, days{from, to})
	}
	return all
}

func parseDate(text string) (date, bool) {
	t, err := time.Parse(time.DateOnly, text)
	day, _ := dateOf(t, 0)
	return day, err == nil
}
