#include "http/pprof.h"

#include <charconv>
#include <filesystem>
#include <fstream>
#include <optional>
#include <utility>

#include "base/log.h"
#include "base/text.h"
#include "http/handlers.h"
#include "http/heap_profile.h"
#include "http/symbols.h"

namespace keelson::http {
namespace {

constexpr std::string_view kPrefix = "/debug/pprof/";
constexpr std::string_view kText = "text/plain; charset=utf-8";
constexpr int64_t kDefaultSeconds = 30;
// A longer one is cut to it: what is noted has an end, too.
constexpr int64_t kMostSeconds = 3600;

constexpr std::string_view kIndex =
    "<html>\n<head><title>/debug/pprof/</title></head>\n<body>\n/debug/pprof/\n<ul>\n"
    "<li><a href='profile?seconds=30'>profile</a>: processor time by stack, of so many seconds\n"
    "<li><a href='heap'>heap</a>: memory in use by the stack that took it, sampled\n"
    "<li><a href='goroutine'>goroutine</a>, <a href='threadcreate'>threadcreate</a>: threads by "
    "name\n"
    "<li><a href='cmdline'>cmdline</a>: the program and its arguments\n"
    "<li><a href='symbol'>symbol</a>: names of addresses\n"
    "</ul>\nGo's trace, block, mutex and allocs have nothing here that they could show.\n</body>\n"
    "</html>\n";

// As Go's handler reads it: what is no number of seconds above 0 is the default.
Duration seconds_of(std::string_view query) {
  int64_t seconds = 0;
  for (const std::string& text : query_values(query, "seconds")) {
    const char* end = text.data() + text.size();
    if (std::from_chars(text.data(), end, seconds).ptr != end) seconds = 0;
    break;
  }
  if (seconds <= 0) seconds = kDefaultSeconds;
  return std::chrono::seconds(std::min(seconds, kMostSeconds));
}

// debug=1, or any number above 0, as Go's handler reads it.
bool wants_text(std::string_view query) {
  int level = 0;
  for (const std::string& text : query_values(query, "debug")) {
    const char* end = text.data() + text.size();
    if (std::from_chars(text.data(), end, level).ptr != end) level = 0;
    break;
  }
  return level > 0;
}

std::vector<std::string> names_of_threads() {
  std::vector<std::string> names;
  std::error_code error;
  for (std::filesystem::directory_iterator at("/proc/self/task", error), end; !error && at != end;
       at.increment(error)) {
    std::ifstream file(at->path() / "comm");
    std::string name;
    if (std::getline(file, name)) names.push_back(std::move(name));
  }
  return names;
}

}  // namespace

// One request, until it is answered.
struct Pprof::Asked {
  net::HttpReplyRef reply;
  std::vector<net::HttpField> fields;
  std::string name;  // "heap"
  std::string query;
  std::string body;
};

// The lane's.
struct Pprof::Sampling {
  AskedRef asked;
  std::unique_ptr<CpuSampler> sampler;  // null: over
};

Pprof::Pprof(const FrontDoor& door, Executor* lane, std::vector<std::string> command)
    : door_(door), lane_(*lane), command_(std::move(command)) {
  if (absl::Status s = sample_heap(true); !s.ok()) {
    log::warn("no profiles of memory", {{"error", message_of(s)}});
  }
}

// A profile takes long: nobody's, it would keep others from theirs.
void Pprof::add_to(net::Router& router) {
  router.http_prefix(kPrefix, this, {.needs_client = true});
}

void Pprof::handle(net::HttpRequest request, net::HttpReplyRef reply) {
  if (door_.answers(request, *reply)) return;
  auto asked = std::make_shared<Asked>();
  asked->fields = door_.fields(request);
  asked->reply = std::move(reply);
  asked->name = request.path().substr(kPrefix.size());
  asked->query = request.query();
  asked->body = std::string(request.body.view());
  if (asked->name.empty()) {
    return answer(asked, 200, "text/html; charset=utf-8", std::string(kIndex));
  }
  if (asked->name == "cmdline") return send_command(asked);
  if (asked->name == "profile") return sample_cpu(asked, seconds_of(asked->query));
  void (*send)(const AskedRef&) = nullptr;
  if (asked->name == "heap") send = send_heap;
  if (asked->name == "symbol") send = send_symbols;
  if (asked->name == "goroutine") send = [](const AskedRef& a) { send_threads(a, "goroutine"); };
  if (asked->name == "threadcreate") {
    send = [](const AskedRef& a) { send_threads(a, "threadcreate"); };
  }
  if (send == nullptr) return refuse(asked, 404, "Unknown profile");
  lane_.post([asked, send] { send(asked); });
}

void Pprof::answer(const AskedRef& asked, int status, std::string type, std::string body) {
  net::Loop& loop = asked->reply->loop();
  loop.post([asked, status, type = std::move(type), body = std::move(body)]() mutable {
    if (asked->reply->over()) return;
    net::HttpResponse response;
    response.status = status;
    response.fields = std::move(asked->fields);
    response.fields.push_back({"X-Content-Type-Options", "nosniff"});
    response.fields.push_back({"Content-Type", std::move(type)});
    if (response.fields.back().value == "application/octet-stream") {
      response.fields.push_back(
          {"Content-Disposition", cat("attachment; filename=\"", asked->name, "\"")});
    }
    if (status != 200) response.fields.push_back({"X-Go-Pprof", "1"});
    response.body = net::MessageParts::copy(body);
    asked->reply->send(std::move(response));
  });
}

void Pprof::refuse(const AskedRef& asked, int status, std::string_view why) {
  answer(asked, status, std::string(kText), cat(why, "\n"));
}

void Pprof::send_profile(const AskedRef& asked, const StackProfile& profile) {
  if (wants_text(asked->query) && asked->name != "profile") {
    return answer(asked, 200, std::string(kText), profile.text(asked->name));
  }
  answer(asked, 200, "application/octet-stream", profile.encode());
}

// Until the time is up, the client has gone, or the server is about to end.
void Pprof::sample_cpu(const AskedRef& asked, Duration time) {
  auto sampling = std::make_shared<Sampling>(Sampling{asked, nullptr});
  const auto finish_soon = [this, weak = std::weak_ptr(sampling)] {
    lane_.post([weak] {
      if (auto still = weak.lock()) finish(*still);
    });
  };
  asked->reply->on_gone(finish_soon);
  asked->reply->on_drain(finish_soon);
  lane_.post([this, sampling, time] {
    sampling->sampler = CpuSampler::start();
    if (!sampling->sampler) {
      return refuse(sampling->asked, 500,
                    "Could not enable CPU profiling: cpu profiling already in use");
    }
    lane_.post_after(time, [sampling] { finish(*sampling); });
  });
}

void Pprof::finish(Sampling& sampling) {
  if (!sampling.sampler) return;
  send_profile(sampling.asked, std::exchange(sampling.sampler, nullptr)->stop());
}

void Pprof::send_heap(const AskedRef& asked) {
  absl::StatusOr<StackProfile> profile = heap_profile();
  if (!profile.ok()) {
    return refuse(asked, absl::IsUnimplemented(profile.status()) ? 501 : 500,
                  message_of(profile.status()));
  }
  send_profile(asked, *profile);
}

// Go counts the stacks of its goroutines, and those that made threads; here threads have names.
void Pprof::send_threads(const AskedRef& asked, std::string_view type) {
  StackProfile profile({.counted = {{type, "count"}},
                        .period_type = {type, "count"},
                        .period = 1,
                        .began = std::chrono::system_clock::now().time_since_epoch()});
  const int64_t one[] = {1};
  for (const std::string& name : names_of_threads()) profile.add_named(name, one);
  send_profile(asked, profile);
}

// Addresses in hexadecimal, with "+" between, in the body or in the query.
void Pprof::send_symbols(const AskedRef& asked) {
  Symbols symbols;
  std::string out = "num_symbols: 1\n";
  std::string_view rest = asked->body.empty() ? asked->query : asked->body;
  while (!rest.empty()) {
    const size_t plus = std::min(rest.find('+'), rest.size());
    std::string_view word = rest.substr(0, plus);
    rest.remove_prefix(std::min(plus + 1, rest.size()));
    if (word.starts_with("0x")) word.remove_prefix(2);
    uint64_t address = 0;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), address, 16);
    if (error != std::errc() || end != word.data() + word.size()) continue;
    const std::string name = symbols.name_of(address);
    if (!name.empty()) out += cat("0x", absl::Hex(address), " ", demangled(name), "\n");
  }
  answer(asked, 200, std::string(kText), std::move(out));
}

void Pprof::send_command(const AskedRef& asked) const {
  std::string out;
  for (const std::string& word : command_) {
    if (!out.empty()) out += '\0';
    out += word;
  }
  answer(asked, 200, std::string(kText), std::move(out));
}

}  // namespace keelson::http
