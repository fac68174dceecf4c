// http/families.h
//
// Turns instruments into prometheus-cpp's metric families, the form its text serializer takes.
//
// Threads: one builder, one thread. Reads instruments that others may be updating.
// Order: labels are sorted by name, as Go's client prints them; tools compare whole lines.

#pragma once

#include <prometheus/metric_family.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "http/metrics.h"

namespace keelson::http {

using Labels = std::vector<std::pair<std::string_view, std::string>>;

class Families {
 public:
  // Single values, and several rows under one name: the second call with a name adds a row.
  void counter(std::string_view name, std::string_view help, double value, Labels labels = {});
  void gauge(std::string_view name, std::string_view help, double value, Labels labels = {});
  void histogram(std::string_view name, std::string_view help, const Histogram& histogram,
                 Labels labels = {});

  // A summary of nothing, with these quantiles.
  void summary(std::string_view name, std::string_view help, const std::vector<double>& quantiles);

  void counter(std::string_view name, std::string_view help, const Counter& counter_) {
    counter(name, help, counter_.value());
  }
  void gauge(std::string_view name, std::string_view help, const Gauge& gauge_) {
    gauge(name, help, gauge_.value());
  }

  // One row for each combination of values seen; nothing at all before the first.
  void counters(std::string_view name, std::string_view help,
                const std::vector<std::string_view>& label_names, const Labelled& values);
  void gauges(std::string_view name, std::string_view help,
              const std::vector<std::string_view>& label_names, const Labelled& values);
  void histograms(std::string_view name, std::string_view help, std::string_view label_name,
                  const HistogramsByLabel& histograms);
  void histograms(std::string_view name, std::string_view help,
                  const std::vector<std::string_view>& label_names,
                  const LabelledHistogram& histograms);

  // In the order of names. Empties the builder.
  std::vector<prometheus::MetricFamily> take();

 private:
  prometheus::ClientMetric& row(std::string_view name, std::string_view help,
                                prometheus::MetricType type, Labels labels);

  std::vector<prometheus::MetricFamily> families_;
};

// In Prometheus' text format 0.0.4. Empties the builder.
std::string page_of(Families& families);

}  // namespace keelson::http
