// outbound/otlp_message.h
//
// Spans as OpenTelemetry's protocol has them.
//
// Threads: any. Texts that are not UTF-8 (keys may be any bytes) are made so: collectors refuse
//   a whole message for one of them.
// Source: opentelemetry-proto v1; what etcd v3.7.1 puts there through OpenTelemetry's Go library.

#pragma once

#include <string>
#include <utility>
#include <vector>

#include "proto/otlp_collector.pb.h"
#include "trace/batcher.h"

namespace keelson::outbound {

// Who sends: names and values, such as "service.name".
using Resource = std::vector<std::pair<std::string, std::string>>;

opentelemetry::proto::collector::trace::v1::ExportTraceServiceRequest to_otlp(
    const Resource& resource, const trace::Batch& batch);

}  // namespace keelson::outbound
