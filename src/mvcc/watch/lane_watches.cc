#include "mvcc/watch/lane_watches.h"

#include <utility>

#include "mvcc/watch/lane_engine.h"
#include "mvcc/watch/stream_state.h"

namespace keelson::watch {

LaneWatches::LaneWatches(Executor& lane, EventFeed& feed, WatchSource& source, Random& random,
                         const WatchOptions& options)
    : engine_(std::make_unique<LaneEngine>(lane, feed, source, random, options)) {}

LaneWatches::~LaneWatches() = default;

std::unique_ptr<WatchStream> LaneWatches::open(WatchSink& sink) {
  return std::make_unique<WatchStream>(std::make_unique<StreamState>(*engine_, sink));
}

const WatchMetrics& LaneWatches::metrics() const { return engine_->metrics(); }

void LaneWatches::check_invariants() const { engine_->check_invariants(); }

WatchStream::WatchStream(std::unique_ptr<StreamState> state) : state_(std::move(state)) {}
WatchStream::~WatchStream() = default;

std::optional<int64_t> WatchStream::create(const CreateRequest& request) {
  return state_->create(request);
}
void WatchStream::refuse(std::string_view reason) { state_->refuse(reason); }
void WatchStream::cancel(int64_t watch_id) { state_->cancel(watch_id); }
void WatchStream::request_progress() { state_->request_progress(); }
void WatchStream::on_writable() { state_->on_writable(); }
bool WatchStream::congested() const { return state_->congested(); }
size_t WatchStream::watchers() const { return state_->watchers().size(); }

}  // namespace keelson::watch
