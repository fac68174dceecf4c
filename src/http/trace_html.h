// http/trace_html.h
//
// The pages /debug/requests and /debug/events, as programs and people know them from servers in Go:
// the same table of services, the same words, classes and addresses
// (source: golang.org/x/net/trace).
//
// Threads: pure functions (times are written in the process's time zone).

#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "http/call_traces.h"

namespace keelson::http {

struct TracePage {
  TraceQuery query;
  bool expanded = false;       // the events of each call
  bool traced_only = false;    // those with a trace's id, which none has
  bool show_sensitive = true;  // what is told of messages
};

std::string requests_page(const TraceView& view, const TracePage& page);

// What a server went through since it began.
struct EventLog {
  std::string title;
  Duration start{0};  // since the epoch
  std::vector<std::pair<Duration, std::string>> events;
};

struct EventPage {
  std::string family;  // empty: nothing is chosen
  int bucket = 0;      // 0: all of its logs; else those with errors, which none has
  bool expanded = false;
};

// `logs`: of the family "grpc.Server", newest first.
std::string events_page(const std::vector<EventLog>& logs, const EventPage& page, Duration now);

}  // namespace keelson::http
