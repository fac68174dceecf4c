#include "peer/prober.h"

#include <utility>

#include "absl/time/time.h"
#include "base/log.h"
#include "base/text.h"

namespace keelson::peer {

namespace {

constexpr size_t kAnswerSize = 4 << 10;
constexpr std::string_view kOk = "{\"OK\":true,\"Now\":\"";
// etcd's numbers.
constexpr Duration kReportWhenWell = std::chrono::seconds(30);
constexpr Duration kReportWhenNot = std::chrono::seconds(5);
constexpr Duration kLargeDrift = std::chrono::seconds(1);
// A round trip counts for an eighth.
constexpr int kSmoothing = 8;
// There are two such names in etcd, for the two kinds of connections that it probes.
constexpr std::string_view kRoundTripper = "ROUND_TRIPPER_RAFT_MESSAGE";

std::string duration_text(Duration d) { return absl::FormatDuration(absl::FromChrono(d)); }

}  // namespace

std::string probe_answer(Duration unix_time) {
  return cat(kOk,
             absl::FormatTime(absl::RFC3339_full, absl::UnixEpoch() + absl::FromChrono(unix_time),
                              absl::UTCTimeZone()),
             "\"}\n");
}

absl::StatusOr<Duration> parse_probe_answer(std::string_view text) {
  const auto bad = [] { return absl::InvalidArgumentError("not the answer to a probe"); };
  if (!text.starts_with(kOk)) return bad();
  text.remove_prefix(kOk.size());
  absl::Time time;
  std::string error;
  if (!absl::ParseTime(absl::RFC3339_full, to_absl(text.substr(0, text.find('"'))), &time,
                       &error)) {
    return bad();
  }
  return absl::ToChronoNanoseconds(time - absl::UnixEpoch());
}

Prober::~Prober() {
  if (exchange_) exchange_->cancel();
}

void Prober::start() {
  probe();
  context_.loop.post_after(kReportWhenNot, [this, alive = std::weak_ptr(alive_)] {
    if (!alive.expired()) report();
  });
}

// Shorter than the other end's patience, so that the connection stays.
void Prober::probe() {
  context_.loop.post_after(context_.options.read_timeout * 4 / 5,
                           [this, alive = std::weak_ptr(alive_)] {
                             if (!alive.expired()) probe();
                           });
  if (exchange_) return;
  const std::string url = picker_.pick();
  absl::StatusOr<net::HttpPlace> place = net::HttpPlace::parse(url);
  if (!place.ok()) {
    health_ = place.status();
    return picker_.unreachable(url);
  }
  net::HttpClientRequest request;
  request.place = *std::move(place);
  request.target = std::string(kProbingPath);
  request.deadlines = {.whole = context_.options.read_timeout};
  const MonotonicTime asked = context_.loop.now();
  exchange_ =
      context_.client.fetch(std::move(request), kAnswerSize,
                            [this, url, asked](absl::StatusOr<net::HttpClient::Answer> answer) {
                              exchange_.reset();
                              answered(url, asked, answer);
                            });
}

void Prober::answered(const std::string& url, MonotonicTime asked,
                      const absl::StatusOr<net::HttpClient::Answer>& answer) {
  health_ = judge(asked, answer);
  if (!health_.ok()) picker_.unreachable(url);
}

absl::Status Prober::judge(MonotonicTime asked,
                           const absl::StatusOr<net::HttpClient::Answer>& answer) {
  if (!answer.ok()) return answer.status();
  if (answer->head.status != 200) {
    return absl::UnavailableError(cat("unexpected http status ", answer->head.status));
  }
  absl::StatusOr<Duration> theirs = parse_probe_answer(answer->body);
  if (!theirs.ok()) return theirs.status();
  const Duration took = context_.loop.now() - asked;
  smoothed_ = smoothed_.count() == 0 ? took : smoothed_ + (took - smoothed_) / kSmoothing;
  drift_ = context_.options.clock->unix_time() - *theirs - took / 2;
  return absl::OkStatus();
}

void Prober::report() {
  context_.loop.post_after(health_.ok() ? kReportWhenWell : kReportWhenNot,
                           [this, alive = std::weak_ptr(alive_)] {
                             if (!alive.expired()) report();
                           });
  if (!health_.ok()) {
    log::warn("prober detected unhealthy status", {{"round-tripper-name", kRoundTripper},
                                                   {"remote-peer-id", id_text(remote_.value)},
                                                   {"rtt", duration_text(smoothed_)},
                                                   {"error", message_of(health_)}});
  }
  // etcd warns only of a clock that is ahead of the other.
  if (drift_ > kLargeDrift || drift_ < -kLargeDrift) {
    log::warn("prober found high clock drift", {{"round-tripper-name", kRoundTripper},
                                                {"remote-peer-id", id_text(remote_.value)},
                                                {"clock-drift", duration_text(drift_)},
                                                {"rtt", duration_text(smoothed_)}});
  }
  if (smoothed_.count() > 0) context_.observer.round_trip(remote_, smoothed_);
}

}  // namespace keelson::peer
