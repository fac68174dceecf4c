// peer/prober.h
//
// Prober asks another member now and then for the time: how long that takes, how far the clocks
// are apart, and whether anybody answers. For the log and metrics; nothing goes by it.
//
// Threads: the peer loop.

#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "peer/context.h"
#include "peer/url_picker.h"

namespace keelson::peer {

// What a probe is answered: {"OK":true,"Now":"2026-01-02T03:04:05.678Z"} and a newline.
std::string probe_answer(Duration unix_time);
// The time in it. InvalidArgument if there is none.
absl::StatusOr<Duration> parse_probe_answer(std::string_view text);

class Prober {
 public:
  Prober(const Context* context, MemberId remote, std::vector<std::string> urls)
      : context_(*context), remote_(remote), picker_(std::move(urls)) {}
  ~Prober();

  void start();
  void update(std::vector<std::string> urls) { picker_.update(std::move(urls)); }

 private:
  void probe();
  void answered(const std::string& url, MonotonicTime asked,
                const absl::StatusOr<net::HttpClient::Answer>& answer);
  absl::Status judge(MonotonicTime asked, const absl::StatusOr<net::HttpClient::Answer>& answer);
  void report();

  const Context& context_;
  const MemberId remote_;
  UrlPicker picker_;
  net::HttpExchangeRef exchange_;  // null: none is under way
  std::shared_ptr<const bool> alive_ = std::make_shared<const bool>(true);
  absl::Status health_ = absl::UnavailableError("not probed yet");
  Duration smoothed_{0};  // of round trips
  Duration drift_{0};     // how much later our clock is
};

}  // namespace keelson::peer
