#include "http/trace_html.h"

#include <array>
#include <cstdio>
#include <ctime>

#include "base/text.h"

namespace keelson::http {
namespace {

constexpr std::string_view kServer = "grpc.Server";
constexpr std::string_view kStyle =
    "<style type=\"text/css\">\n"
    "body { font-family: sans-serif; }\n"
    "#reqs { margin-top: 1em; }\n"
    "#reqs td { font-family: monospace; }\n"
    "td.family { padding-right: 2em; }\n"
    "td.active { padding-right: 1em; }\n"
    "td.latency-first { padding-left: 1em; }\n"
    "td.empty { color: #aaa; }\n"
    "td.when { text-align: right; white-space: nowrap; }\n"
    "#reqs td.elapsed { padding: 0 0.5em; text-align: right; white-space: pre; width: 10em; }\n";

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&#34;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

template <typename... Values>
std::string print(const char* format, Values... values) {
  std::array<char, 64> out;
  std::snprintf(out.data(), out.size(), format, values...);
  return out.data();
}

std::tm local(Duration unix_time) {
  const auto seconds = static_cast<time_t>(unix_time / std::chrono::seconds(1));
  std::tm out{};
  localtime_r(&seconds, &out);
  return out;
}

std::string time_of_day(Duration unix_time) {
  const std::tm at = local(unix_time);
  return print("%02d:%02d:%02d.%06d", at.tm_hour, at.tm_min, at.tm_sec,
               static_cast<int>(unix_time.count() % 1'000'000'000 / 1000));
}

std::string date_and_time(Duration unix_time) {
  const std::tm at = local(unix_time);
  return print("%04d/%02d/%02d ", at.tm_year + 1900, at.tm_mon + 1, at.tm_mday) +
         time_of_day(unix_time);
}

std::string seconds(Duration elapsed) {
  return print("%.6f", static_cast<double>(elapsed.count()) / 1e9);
}

// Below a second the zeros ahead of the first other digit are blanks.
std::string seconds_since_last(Duration elapsed) {
  std::string out = seconds(elapsed);
  if (elapsed >= std::chrono::seconds(1)) return out;
  for (char& c : out) {
    if (c == '0') c = ' ';
    if (c != ' ' && c != '.') break;
  }
  return out;
}

std::string row(std::string_view when, std::string_view elapsed, std::string_view what,
                bool first) {
  return cat(first ? "<tr class=\"first\">" : "<tr>", "<td class=\"when\">", when,
             "</td><td class=\"elapsed\">", elapsed, "</td><td>", what, "</td></tr>\n");
}

// An event's time; its date, too, if that is another than the one before it.
std::string event_row(Duration when, Duration last, std::string_view what) {
  const bool same_day = local(when).tm_yday == local(last).tm_yday;
  return row(same_day ? time_of_day(when) : date_and_time(when), seconds_since_last(when - last),
             what, false);
}

std::string head(std::string_view title, std::string_view name, bool expanded) {
  return cat("\n<html>\n<head>\n<title>", title, "</title>\n", kStyle,
             expanded ? "tr.first { font-weight: bold; }\n" : "",
             "</style>\n</head>\n<body>\n\n<h1>", name, "</h1>\n\n");
}

constexpr std::string_view kFoot = "\n</body>\n</html>\n";

std::string link(std::string_view family, int bucket, std::string_view more,
                 std::string_view text) {
  return cat("<a href=\"?fam=", family, "&b=", bucket, more, "\">", text, "</a>");
}

std::string bucket_name(size_t bucket) {
  if (bucket == TraceQuery::kFailed) return "[errors]";
  const auto least = TraceQuery::kLeast[bucket];
  return print("[\u2265%gs]", static_cast<double>(least.count()) / 1e9);
}

std::string family_row(std::string_view name, const TraceView::Family& family, bool expanded) {
  const std::string_view more = expanded ? "&exp=1" : "";
  const std::string active = cat("[", family.active, " active]");
  std::string out =
      cat("<tr>\n<td class=\"family\">", name, "</td>\n<td class=\"active ",
          family.active == 0 ? "empty" : "", "\">",
          family.active == 0 ? active : link(name, TraceQuery::kActive, more, active), "</td>\n");
  for (size_t i = 0; i < family.filled.size(); ++i) {
    const std::string text = bucket_name(i);
    out += family.filled[i] ? cat("<td >", link(name, static_cast<int>(i), more, text), "</td>\n")
                            : cat("<td class=\"empty\">", text, "</td>\n");
  }
  constexpr int kLatency = TraceQuery::kBuckets;
  return cat(out, "<td class=\"latency-first\">", link(name, kLatency, "", "[minute]"),
             "</td>\n<td>", link(name, kLatency + 1, "", "[hour]"), "</td>\n<td>",
             link(name, kLatency + 2, "", "[total]"), "</td>\n</tr>\n");
}

// The four ways to look at calls that are over, of which one is chosen.
std::string choices(const TracePage& page) {
  std::string out;
  for (const bool traced : {false, true}) {
    if (traced && page.query.bucket == TraceQuery::kActive) break;
    for (const bool expanded : {false, true}) {
      const std::string text =
          cat("[", traced ? "Traced" : "Normal", "/", expanded ? "Expanded" : "Summary", "]");
      const bool chosen = page.expanded == expanded && page.traced_only == traced;
      out += cat(chosen ? text
                        : link(page.query.family, page.query.bucket,
                               cat(expanded ? "&exp=1" : "", traced ? "&rtraced=1" : ""), text),
                 "\n");
    }
  }
  return out;
}

std::string trace_rows(const CallTrace& trace, const TracePage& page) {
  std::string out =
      row(date_and_time(trace.start), seconds(trace.elapsed), escaped(trace.method), true);
  if (!page.expanded) return out;
  Duration last = trace.start;
  for (const CallTrace::Event& event : trace.events) {
    const bool shown = page.show_sensitive || !event.sensitive;
    out += event_row(event.unix_time, last,
                     shown ? cat("... ", escaped(event.text)) : "<em>[redacted]</em>");
    last = event.unix_time;
  }
  return out;
}

std::string traces_part(const TraceView& view, const TracePage& page) {
  const bool active = page.query.bucket == TraceQuery::kActive;
  if (view.traces.empty() || (page.traced_only && !active)) return "";
  std::string out =
      cat("<hr />\n<h3>Family: ", escaped(page.query.family), "</h3>\n\n", choices(page), "\n");
  for (const auto& [name, family] : view.families) {
    if (!active || name != page.query.family || family.active <= view.traces.size()) continue;
    out += cat("<p><em>Showing <b>", view.traces.size(), "</b> of <b>", family.active,
               "</b> traces.</em></p>\n");
  }
  out += cat("<table id=\"reqs\">\n<caption>", active ? "Active" : "Completed",
             " Requests</caption>\n<tr><th>When</th><th>Elapsed&nbsp;(s)</th></tr>\n");
  for (const auto& trace : view.traces) out += trace_rows(*trace, page);
  return out + "</table>\n";
}

std::string latency_rows(const LatencyCounts& latency) {
  constexpr double kWidest = 350;
  const auto all = static_cast<double>(latency.count());
  double most = 1, below = 0;
  for (const uint64_t n : latency.buckets) most = std::max(most, static_cast<double>(n));
  std::string out;
  for (size_t i = 0; i < LatencyCounts::kBuckets; ++i) {
    if (latency.buckets[i] == 0) continue;
    const auto here = static_cast<double>(latency.buckets[i]);
    below += here;
    const uint64_t upper = i + 1 < LatencyCounts::kBuckets ? LatencyCounts::lower_bound(i + 1)
                                                           : static_cast<uint64_t>(INT64_MAX);
    out += cat("<tr><td>[</td><td class=\"when\">", LatencyCounts::lower_bound(i),
               ",</td><td class=\"when\">", upper, ")</td><td class=\"when\">", latency.buckets[i],
               "</td><td class=\"when\">", print("%.3f%%", here / all * 100),
               "</td><td class=\"when\">", print("%.3f%%", below / all * 100),
               "</td><td><div style=\"background-color: blue; height: 1em; width: ",
               static_cast<int>(here / most * kWidest), "px;\"></div></td></tr>\n");
  }
  return out;
}

std::string latency_part(const LatencyCounts& latency, const TraceQuery& query) {
  constexpr std::string_view kWindows[] = {"last minute", "last hour", "all time"};
  return cat("<h4>Latency (&micro;s) of ", escaped(query.family), " over ",
             kWindows[query.bucket - TraceQuery::kBuckets],
             "</h4>\n<table>\n<tr><td>Count: ", latency.count(),
             "</td><td>Mean: ", print("%.0f", latency.mean()),
             "</td><td>StdDev: ", print("%.0f", latency.deviation()),
             "</td><td>Median: ", latency.median(), "</td></tr>\n</table>\n<hr>\n<table>\n",
             latency_rows(latency), "</table>\n");
}

std::string log_rows(const EventLog& log, const EventPage& page, Duration now) {
  std::string out =
      row(date_and_time(log.start), seconds(now - log.start), escaped(log.title), true);
  if (!page.expanded) return out;
  Duration last = log.start;
  for (const auto& [when, what] : log.events) {
    out += event_row(when, last, cat("... ", escaped(what)));
    last = when;
  }
  return out;
}

}  // namespace

std::string requests_page(const TraceView& view, const TracePage& page) {
  std::string out = head("/debug/requests", "/debug/requests", page.expanded);
  out += "<table id=\"tr-status\">\n";
  for (const auto& [name, family] : view.families) out += family_row(name, family, page.expanded);
  out += "</table>\n\n";
  out += traces_part(view, page);
  if (view.latency) out += latency_part(*view.latency, page.query);
  return out.append(kFoot);
}

std::string events_page(const std::vector<EventLog>& logs, const EventPage& page, Duration now) {
  static constexpr std::string_view kBuckets[] = {"total",   "errs<10s", "errs<1m", "errs<10m",
                                                  "errs<1h", "errs<10h", "errors"};
  const std::string_view more = page.expanded ? "&exp=1" : "";
  std::string out =
      cat(head("events", "/debug/events", page.expanded),
          "<table id=\"req-status\">\n<tr>\n<td class=\"family\">", kServer, "</td>\n");
  for (size_t i = 0; i < std::size(kBuckets); ++i) {
    const size_t count = i == 0 ? logs.size() : 0;
    const std::string text = cat("[", count, " ", escaped(kBuckets[i]), "]");
    out += cat("<td class=\"", i == 0 ? "active" : "", count == 0 ? "empty" : "", "\">",
               count == 0 ? text : link(kServer, static_cast<int>(i), more, text), "</td>\n");
  }
  out += "</tr>\n</table>\n\n";
  if (page.family == kServer && page.bucket == 0 && !logs.empty()) {
    const std::string summary = "[Summary]", expanded = "[Expanded]";
    out += cat("<hr />\n<h3>Family: ", kServer, "</h3>\n\n",
               page.expanded ? link(kServer, 0, "", summary) : summary, "\n",
               page.expanded ? expanded : link(kServer, 0, "&exp=1", expanded),
               "\n\n<table id=\"reqs\">\n<tr><th>When</th><th>Elapsed</th></tr>\n");
    for (const EventLog& log : logs) out += log_rows(log, page, now);
    out += "</table>\n";
  }
  return out.append(kFoot);
}

}  // namespace keelson::http
