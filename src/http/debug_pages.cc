#include "http/debug_pages.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <string_view>
#include <utility>
#include <variant>

#include "base/check.h"
#include "base/text.h"
#include "http/handlers.h"

namespace keelson::http {
namespace {

constexpr std::string_view kRequests = "/debug/requests";
constexpr std::string_view kEvents = "/debug/events";
// After each page.
constexpr Duration kRest = std::chrono::milliseconds(20);

std::string first_value(std::string_view query, std::string_view key) {
  std::vector<std::string> values = query_values(query, key);
  return values.empty() ? "" : std::move(values.front());
}

// As Go reads it; anything else is no.
bool is_true(std::string_view text) {
  for (std::string_view word : {"1", "t", "T", "true", "TRUE", "True"}) {
    if (text == word) return true;
  }
  return false;
}

// A bucket is chosen when there are a family and a number.
std::optional<int> bucket_of(std::string_view query, std::string_view family) {
  std::string text = first_value(query, "b");
  std::string_view digits = text;
  if (digits.starts_with('+')) digits.remove_prefix(1);
  int number = 0;
  const char* const end = digits.data() + digits.size();
  const auto [at, error] = std::from_chars(digits.data(), end, number);
  if (family.empty() || error != std::errc() || at != end || number < TraceQuery::kActive) {
    return std::nullopt;
  }
  return number;
}

TracePage trace_page(std::string_view query) {
  TracePage page;
  const std::string family = first_value(query, "fam");
  if (const auto bucket = bucket_of(query, family)) page.query = {family, *bucket};
  page.expanded = is_true(first_value(query, "exp"));
  page.traced_only = is_true(first_value(query, "rtraced"));
  page.show_sensitive = first_value(query, "show_sensitive") != "0";
  return page;
}

EventPage event_page(std::string_view query) {
  EventPage page;
  const std::string family = first_value(query, "fam");
  const auto bucket = bucket_of(query, family);
  if (bucket && *bucket >= 0) page = {.family = family, .bucket = *bucket};
  page.expanded = is_true(first_value(query, "exp"));
  return page;
}

}  // namespace

// One page.
struct DebugPages::Asked {
  std::variant<TracePage, EventPage> page;
  net::HttpReplyRef reply;
  std::vector<net::HttpField> fields;
  // While the loops say what they know.
  std::vector<TraceView> views;  // by loop, each written there
  std::atomic<int> left{0};
};

void DebugPages::add_to(net::Router& router) {
  for (std::string_view path : {kRequests, kEvents})
    router.http(path, this, {.ignores_body = true});
}

void DebugPages::serving(const std::vector<std::string>& addresses, const net::Router& router) {
  CHECK(logs_.empty());
  const Duration now = parts_.clock.unix_time();
  std::vector<std::pair<Duration, std::string>> events;
  for (const net::MethodInfo* method : router.methods()) {
    std::pair<Duration, std::string> event{now, cat("RegisterService(\"", method->service, "\")")};
    if (std::find(events.begin(), events.end(), event) == events.end()) {
      events.push_back(std::move(event));
    }
  }
  events.emplace_back(now, "serving");
  for (const std::string& address : addresses) logs_.push_back({address, now, events});
}

void DebugPages::handle(net::HttpRequest request, net::HttpReplyRef reply) {
  if (parts_.door.answers(request, *reply)) return;
  auto asked = std::make_shared<Asked>();
  asked->reply = std::move(reply);
  asked->fields = parts_.door.fields(request);
  if (request.path() == kRequests) {
    asked->page = trace_page(request.query());
  } else {
    asked->page = event_page(request.query());
  }
  if (waiting_.fetch_add(1) >= kMostWaiting) {
    waiting_.fetch_sub(1);
    return answer(asked, 503, "text/plain; charset=utf-8", "too many pages are being made\n");
  }
  parts_.lane.post([this, asked = std::move(asked)]() mutable {
    asked_.push_back(std::move(asked));
    next();
  });
}

void DebugPages::next() {
  CHECK(asked_.size() <= kMostWaiting);
  if (busy_ || asked_.empty()) return;
  busy_ = true;
  const AskedRef asked = std::move(asked_.front());
  asked_.pop_front();
  if (const auto* events = std::get_if<EventPage>(&asked->page)) {
    return made(asked, events_page(logs_, *events, parts_.clock.unix_time()));
  }
  gather(asked);
}

void DebugPages::gather(const AskedRef& asked) {
  asked->views.resize(static_cast<size_t>(parts_.loops.size()));
  asked->left = parts_.loops.size();
  for (int i = 0; i < parts_.loops.size(); ++i) {
    parts_.loops.at(i).post([this, asked, i] {
      asked->views[static_cast<size_t>(i)] =
          parts_.traces.view(i, std::get<TracePage>(asked->page).query);
      if (asked->left.fetch_sub(1, std::memory_order_acq_rel) > 1) return;
      parts_.lane.post([this, asked] { write(asked); });
    });
  }
}

void DebugPages::write(const AskedRef& asked) {
  const TracePage& page = std::get<TracePage>(asked->page);
  TraceView all;
  for (TraceView& view : asked->views) all.add(std::move(view));
  all.settle(page.query);
  made(asked, requests_page(all, page));
}

void DebugPages::made(const AskedRef& asked, std::string page) {
  asked->reply->loop().post(
      [asked, page = std::move(page)] { answer(asked, 200, "text/html; charset=utf-8", page); });
  waiting_.fetch_sub(1);
  parts_.lane.post_after(kRest, [this] {
    busy_ = false;
    next();
  });
}

// On the reply's loop.
void DebugPages::answer(const AskedRef& asked, int status, std::string_view type,
                        std::string_view page) {
  if (asked->reply->over()) return;
  net::HttpResponse response;
  response.status = status;
  response.fields = std::move(asked->fields);
  response.fields.push_back({"Content-Type", std::string(type)});
  response.body = net::MessageParts::copy(page);
  asked->reply->send(std::move(response));
}

}  // namespace keelson::http
