#include "queue.hpp"

#include <map>
#include <mutex>

#include "state.hpp"

namespace {
std::map<uintptr_t, std::shared_ptr<Stream>> streams;
std::map<uintptr_t, std::shared_ptr<Event>> events;
std::map<uintptr_t, std::shared_ptr<Graph>> graphs;
uintptr_t next_handle = 0x1000;
constexpr uintptr_t legacy = 1;
}  // namespace

void Stream::enqueue(Work work) {
  if (capture) {
    capture->work.push_back(std::move(work));
    return;
  }
  queue.push_back(std::move(work));
  ++enqueued;
}

void Stream::run_until(unsigned long long ticket) {
  while (done < ticket && !queue.empty()) {
    Work work = std::move(queue.front());
    queue.pop_front();
    work();
    ++done;
  }
}

std::shared_ptr<Stream> stream_of(uintptr_t handle) {
  auto found = streams.find(handle <= legacy ? legacy : handle);
  if (found != streams.end()) return found->second;
  if (handle > legacy) return nullptr;
  return streams[legacy] = std::make_shared<Stream>(true);
}

void run_all() {
  for (auto& [handle, stream] : streams) stream->run();
}

// Orders a stream's next work behind what the legacy default stream promises.
static void join_legacy(uintptr_t handle, Stream& stream) {
  if (handle <= legacy) {
    for (auto& [other, each] : streams)
      if (each->blocking) each->run();
  } else if (stream.blocking) {
    stream_of(legacy)->run();
  }
}

Result enqueue(uintptr_t handle, Work work) {
  if (int error = ready()) return Result(error);
  auto stream = stream_of(handle);
  if (!stream) return INVALID_HANDLE;
  if (!stream->capture) join_legacy(handle, *stream);
  stream->enqueue(std::move(work));
  return SUCCESS;
}

DRIVER_API int cuStreamCreate(uintptr_t* handle, unsigned flags) {
  Turn turn;
  if (int error = ready()) return error;
  *handle = next_handle += 16;
  streams[*handle] = std::make_shared<Stream>(flags != 1);
  return SUCCESS;
}
DRIVER_API int cuStreamDestroy_v2(uintptr_t handle) {
  Turn turn;
  auto stream = stream_of(handle);
  if (!stream || handle <= legacy) return INVALID_HANDLE;
  stream->run();
  streams.erase(handle);
  return SUCCESS;
}
DRIVER_API int cuStreamSynchronize(uintptr_t handle) {
  Turn turn;
  if (int error = ready()) return error;
  auto stream = stream_of(handle);
  if (!stream) return INVALID_HANDLE;
  if (stream->capture) {
    stream->capture->valid = false;
    return CAPTURE_UNSUPPORTED;
  }
  join_legacy(handle, *stream);
  stream->run();
  return failure();
}
DRIVER_API int cuStreamWaitEvent(uintptr_t handle, uintptr_t event, unsigned) {
  Turn turn;
  auto found = events.find(event);
  if (found == events.end()) return INVALID_HANDLE;
  Event recorded = *found->second;  // as it stands now, whatever is recorded later
  return enqueue(handle, [recorded] {
    if (recorded.stream) recorded.stream->run_until(recorded.ticket);
  });
}

DRIVER_API int cuEventCreate(uintptr_t* handle, unsigned) {
  Turn turn;
  if (int error = ready()) return error;
  *handle = next_handle += 16;
  events[*handle] = std::make_shared<Event>();
  return SUCCESS;
}
DRIVER_API int cuEventDestroy_v2(uintptr_t handle) {
  Turn turn;
  return events.erase(handle) ? SUCCESS : INVALID_HANDLE;
}
DRIVER_API int cuEventRecord(uintptr_t handle, uintptr_t stream) {
  Turn turn;
  auto found = events.find(handle);
  if (found == events.end()) return INVALID_HANDLE;
  auto event = found->second;
  Result result = enqueue(stream, [event] { event->moment = std::chrono::steady_clock::now(); });
  event->stream = stream_of(stream);
  if (event->stream) event->ticket = event->stream->enqueued;
  return result;
}
DRIVER_API int cuEventSynchronize(uintptr_t handle) {
  Turn turn;
  auto found = events.find(handle);
  if (found == events.end()) return INVALID_HANDLE;
  Event& event = *found->second;
  if (event.stream) event.stream->run_until(event.ticket);
  return failure();
}
DRIVER_API int cuEventElapsedTime(float* milliseconds, uintptr_t start, uintptr_t end) {
  Turn turn;
  auto from = events.find(start), to = events.find(end);
  if (from == events.end() || to == events.end()) return INVALID_HANDLE;
  auto passed = to->second->moment - from->second->moment;
  *milliseconds = std::chrono::duration<float, std::milli>(passed).count();
  return SUCCESS;
}

DRIVER_API int cuStreamBeginCapture_v2(uintptr_t handle, int) {
  Turn turn;
  if (int error = ready()) return error;
  auto stream = stream_of(handle);
  if (!stream || handle <= legacy) return INVALID_HANDLE;
  if (stream->capture) return INVALID_VALUE;
  stream->capture = std::make_unique<Capture>();
  return SUCCESS;
}
DRIVER_API int cuStreamEndCapture(uintptr_t handle, uintptr_t* graph) {
  Turn turn;
  *graph = 0;
  auto stream = stream_of(handle);
  if (!stream || !stream->capture) return INVALID_VALUE;
  auto capture = std::move(stream->capture);
  if (!capture->valid) return CAPTURE_INVALIDATED;
  *graph = next_handle += 16;
  graphs[*graph] = std::make_shared<Graph>(Graph{std::move(capture->work)});
  return SUCCESS;
}
DRIVER_API int cuGraphInstantiateWithFlags(uintptr_t* executable, uintptr_t graph,
                                           unsigned long long) {
  Turn turn;
  auto found = graphs.find(graph);
  if (found == graphs.end()) return INVALID_VALUE;
  *executable = next_handle += 16;
  graphs[*executable] = found->second;
  return SUCCESS;
}
DRIVER_API int cuGraphLaunch(uintptr_t executable, uintptr_t stream) {
  Turn turn;
  auto found = graphs.find(executable);
  if (found == graphs.end()) return INVALID_VALUE;
  auto graph = found->second;
  return enqueue(stream, [graph] {
    for (auto& work : graph->work) work();
  });
}
DRIVER_API int cuGraphDestroy(uintptr_t graph) {
  Turn turn;
  return graphs.erase(graph) ? SUCCESS : INVALID_VALUE;
}
DRIVER_API int cuGraphExecDestroy(uintptr_t executable) { return cuGraphDestroy(executable); }
