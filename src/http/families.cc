#include "http/families.h"

#include <prometheus/text_serializer.h>

#include <algorithm>
#include <limits>
#include <sstream>
#include <utility>

#include "base/check.h"

namespace keelson::http {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

Labels zip(const std::vector<std::string_view>& names, const std::vector<std::string>& values) {
  CHECK(names.size() == values.size());
  Labels labels;
  for (size_t i = 0; i < names.size(); ++i) labels.emplace_back(names[i], values[i]);
  return labels;
}

}  // namespace

ClientMetric& Families::row(std::string_view name, std::string_view help, MetricType type,
                            Labels labels) {
  if (families_.empty() || families_.back().name != name) {
    MetricFamily family;
    family.name = name;
    family.help = help;
    family.type = type;
    families_.push_back(std::move(family));
  }
  std::sort(labels.begin(), labels.end());
  ClientMetric& metric = families_.back().metric.emplace_back();
  for (auto& [label, value] : labels) {
    metric.label.push_back({std::string(label), std::move(value)});
  }
  return metric;
}

void Families::counter(std::string_view name, std::string_view help, double value, Labels labels) {
  row(name, help, MetricType::Counter, std::move(labels)).counter.value = value;
}

void Families::gauge(std::string_view name, std::string_view help, double value, Labels labels) {
  row(name, help, MetricType::Gauge, std::move(labels)).gauge.value = value;
}

void Families::summary(std::string_view name, std::string_view help,
                       const std::vector<double>& quantiles) {
  ClientMetric& metric = row(name, help, MetricType::Summary, {});
  for (double quantile : quantiles) metric.summary.quantile.push_back({quantile, 0});
}

void Families::histogram(std::string_view name, std::string_view help, const Histogram& histogram,
                         Labels labels) {
  ClientMetric& metric = row(name, help, MetricType::Histogram, std::move(labels));
  const Histogram::Reading reading = histogram.read();
  metric.histogram.sample_count = reading.count;
  metric.histogram.sample_sum = reading.sum;
  for (size_t i = 0; i < histogram.bounds().size(); ++i) {
    metric.histogram.bucket.push_back({reading.cumulative[i], histogram.bounds()[i]});
  }
  metric.histogram.bucket.push_back({reading.count, std::numeric_limits<double>::infinity()});
}

void Families::counters(std::string_view name, std::string_view help,
                        const std::vector<std::string_view>& label_names, const Labelled& values) {
  for (const auto& [labels, value] : values.read()) {
    counter(name, help, value, zip(label_names, labels));
  }
}

void Families::gauges(std::string_view name, std::string_view help,
                      const std::vector<std::string_view>& label_names, const Labelled& values) {
  for (const auto& [labels, value] : values.read()) {
    gauge(name, help, value, zip(label_names, labels));
  }
}

void Families::histograms(std::string_view name, std::string_view help,
                          const std::vector<std::string_view>& label_names,
                          const LabelledHistogram& histograms) {
  for (size_t i = 0; i < histograms.size(); ++i) {
    if (histograms.histogram(i).read().count == 0) continue;
    histogram(name, help, histograms.histogram(i), zip(label_names, histograms.labels(i)));
  }
}

void Families::histograms(std::string_view name, std::string_view help, std::string_view label_name,
                          const HistogramsByLabel& histograms) {
  histograms.each([&](const std::string& label, const Histogram& one) {
    histogram(name, help, one, {{label_name, label}});
  });
}

std::vector<MetricFamily> Families::take() {
  std::stable_sort(families_.begin(), families_.end(),
                   [](const auto& a, const auto& b) { return a.name < b.name; });
  return std::exchange(families_, {});
}

std::string page_of(Families& families) {
  std::ostringstream page;
  prometheus::TextSerializer().Serialize(page, families.take());
  return std::move(page).str();
}

}  // namespace keelson::http
