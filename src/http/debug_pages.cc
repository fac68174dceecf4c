#include "http/debug_pages.h"

#include <algorithm>
#include <atomic>
#include <charconv>
#include <optional>
#include <string_view>
#include <utility>

#include "base/check.h"
#include "base/text.h"
#include "http/handlers.h"

namespace keelson::http {
namespace {

constexpr std::string_view kRequests = "/debug/requests";
constexpr std::string_view kEvents = "/debug/events";

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

// One page, while the loops say what they know.
struct DebugPages::Gathering {
  TracePage page;
  net::HttpReplyRef reply;
  std::vector<net::HttpField> fields;
  std::vector<TraceView> views;  // by loop, each written there
  std::atomic<int> left;
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
  std::vector<net::HttpField> fields = parts_.door.fields(request);
  if (request.path() == kRequests) {
    return gather(trace_page(request.query()), std::move(reply), std::move(fields));
  }
  answer(reply, std::move(fields),
         events_page(logs_, event_page(request.query()), parts_.clock.unix_time()));
}

void DebugPages::gather(TracePage page, net::HttpReplyRef reply,
                        std::vector<net::HttpField> fields) {
  auto gathering = std::make_shared<Gathering>();
  gathering->page = std::move(page);
  gathering->reply = std::move(reply);
  gathering->fields = std::move(fields);
  gathering->views.resize(static_cast<size_t>(parts_.loops.size()));
  gathering->left = parts_.loops.size();
  for (int i = 0; i < parts_.loops.size(); ++i) {
    parts_.loops.at(i).post([this, gathering, i] {
      Gathering& g = *gathering;
      g.views[static_cast<size_t>(i)] = parts_.traces.view(i, g.page.query);
      if (g.left.fetch_sub(1, std::memory_order_acq_rel) > 1) return;
      TraceView all;
      for (TraceView& view : g.views) all.add(std::move(view));
      all.settle(g.page.query);
      net::Loop& loop = g.reply->loop();
      loop.post([gathering, text = requests_page(all, g.page)]() mutable {
        answer(gathering->reply, std::move(gathering->fields), std::move(text));
      });
    });
  }
}

// On the reply's loop.
void DebugPages::answer(const net::HttpReplyRef& reply, std::vector<net::HttpField> fields,
                        std::string page) {
  if (reply->over()) return;
  net::HttpResponse response;
  response.fields = std::move(fields);
  response.fields.push_back({"Content-Type", "text/html; charset=utf-8"});
  response.body = net::MessageParts::copy(page);
  reply->send(std::move(response));
}

}  // namespace keelson::http
