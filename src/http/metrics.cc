#include "http/metrics.h"

#include <algorithm>

#include "base/check.h"

namespace keelson::http {
namespace {

constexpr double kNanosecondsPerSecond = 1e9;
constexpr double kNanosecondsPerMillisecond = 1e6;

Histogram seconds_from(double first, int count) {
  return Histogram(exponential_bounds(first, 2, count), kNanosecondsPerSecond);
}

Histogram milliseconds_from(double first, int count) {
  return Histogram(exponential_bounds(first, 2, count), kNanosecondsPerMillisecond);
}

constexpr std::string_view kRequestTypes[] = {"Range",
                                              "ReadonlyTxn",
                                              "Put",
                                              "DeleteRange",
                                              "Txn",
                                              "Compaction",
                                              "LeaseGrant",
                                              "LeaseRevoke",
                                              "LeaseCheckpoint",
                                              "Alarm",
                                              "Authenticate",
                                              "ClusterVersionSet",
                                              "ClusterMemberAttrSet",
                                              "AuthEnable",
                                              "AuthDisable",
                                              "AuthStatus",
                                              "AuthUserAdd",
                                              "AuthUserDelete",
                                              "AuthUserGet",
                                              "AuthUserChangePassword",
                                              "AuthUserGrantRole",
                                              "AuthUserRevokeRole",
                                              "AuthUserList",
                                              "AuthRoleList",
                                              "AuthRoleAdd",
                                              "AuthRoleDelete",
                                              "AuthRoleGet",
                                              "AuthRoleGrantPermission",
                                              "AuthRoleRevokePermission",
                                              "DowngradeInfoSet",
                                              "DowngradeVersionTest",
                                              "unknown"};
static_assert(std::size(kRequestTypes) == static_cast<size_t>(RequestType::kCount));

// Every type, failed and succeeded, with `before` in front of the labels.
std::vector<std::vector<std::string>> by_type(const std::vector<std::string>& before) {
  std::vector<std::vector<std::string>> combinations;
  for (std::string_view type : kRequestTypes) {
    for (const char* success : {"false", "true"}) {
      combinations.push_back(before);
      combinations.back().emplace_back(type);
      combinations.back().emplace_back(success);
    }
  }
  return combinations;
}

}  // namespace

void Labelled::set(const Values& labels, double value) {
  std::lock_guard lock(mutex_);
  values_[labels] = value;
}

void Labelled::add(const Values& labels, double amount) {
  std::lock_guard lock(mutex_);
  values_[labels] += amount;
}

std::map<Labelled::Values, double> Labelled::read() const {
  std::lock_guard lock(mutex_);
  return values_;
}

LabelledHistogram::LabelledHistogram(std::vector<std::vector<std::string>> combinations,
                                     const std::vector<double>& bounds)
    : combinations_(std::move(combinations)) {
  for (size_t i = 0; i < combinations_.size(); ++i) {
    histograms_.push_back(std::make_unique<Histogram>(bounds, kNanosecondsPerSecond));
  }
}

void HistogramsByLabel::observe(const std::string& label, Duration took) {
  std::lock_guard lock(mutex_);
  std::unique_ptr<Histogram>& histogram = histograms_[label];
  if (!histogram) histogram = std::make_unique<Histogram>(bounds_, kNanosecondsPerSecond);
  histogram->observe(took);
}

void HistogramsByLabel::each(
    const std::function<void(const std::string&, const Histogram&)>& show) const {
  std::lock_guard lock(mutex_);
  for (const auto& [label, histogram] : histograms_) show(label, *histogram);
}

ClientRequests::~ClientRequests() {
  for (std::atomic<Entry*>& entry : entries_) delete entry.load(std::memory_order_relaxed);
}

void ClientRequests::add(Type type, std::string_view client_api_version) {
  entry(client_api_version.empty() ? "unknown" : client_api_version).counters[type].add();
}

ClientRequests::Entry& ClientRequests::entry(std::string_view version) {
  size_t i = 0;
  for (; i < kVersions; ++i) {
    Entry* known = entries_[i].load(std::memory_order_acquire);
    if (known == nullptr) break;
    if (known->version == version) return *known;
  }
  constexpr size_t kLongestVersion = 64;  // it is a word of the client's and goes onto a page
  if (i == kVersions || version.size() > kLongestVersion) return other_;

  std::lock_guard lock(growing_);
  for (; i < kVersions; ++i) {
    Entry* known = entries_[i].load(std::memory_order_relaxed);
    if (known == nullptr) break;
    if (known->version == version) return *known;
  }
  if (i == kVersions) return other_;
  auto* added = new Entry(std::string(version));
  entries_[i].store(added, std::memory_order_release);
  return *added;
}

std::vector<ClientRequests::Row> ClientRequests::read() const {
  std::vector<Row> rows;
  const auto show = [&rows](const Entry& entry) {
    for (Type type : {kUnary, kStream}) {
      const double value = entry.counters[type].value();
      if (value > 0) rows.push_back({type == kUnary ? "unary" : "stream", entry.version, value});
    }
  };
  for (const std::atomic<Entry*>& slot : entries_) {
    if (const Entry* entry = slot.load(std::memory_order_acquire)) show(*entry);
  }
  show(other_);
  return rows;
}

Metrics::Metrics(const MetricsOptions& options)
    : grpc(options.extensive),
      request_duration(by_type({}), exponential_bounds(0.001, 2, 14)),
      apply_duration(by_type({"v3"}), exponential_bounds(0.0001, 2, 20)),
      range_duration({{"false"}, {"true"}}, exponential_bounds(0.0001, 2, 20)),
      wal_fsync(seconds_from(0.001, 14)),
      wal_write(seconds_from(0.001, 14)),
      snap_fsync(seconds_from(0.001, 14)),
      snap_save(seconds_from(0.001, 14)),
      backend_commit(seconds_from(0.001, 14)),
      backend_defrag(seconds_from(.1, 13)),
      backend_snapshot(seconds_from(.01, 17)),
      hash_duration(seconds_from(.01, 15)),
      hash_rev_duration(seconds_from(.01, 15)),
      index_compaction_pause_ms(milliseconds_from(0.5, 14)),
      db_compaction_pause_ms(milliseconds_from(1, 13)),
      db_compaction_total_ms(milliseconds_from(100, 14)),
      watch_send(seconds_from(0.001, 14)),
      watch_send_per_event(seconds_from(0.001, 14)),
      watch_control(seconds_from(0.001, 14)),
      watch_progress(seconds_from(0.001, 14)),
      lease_ttl(exponential_bounds(1, 2, 24), 1) {}

}  // namespace keelson::http
