-- The language client: finds or starts it, sends commands, hands streamed deltas to who asked, and stops what runs.

local config = require('beast.config')
local notice = require('beast.notice')

local M = {}

M.NAME = 'beast'
local CANCELLED = { code = -32800, message = 'stopped' }
local LOST = { code = -32803, message = 'The connection to the daemon was lost. Ask again: Neovim connects anew.' }
local RECONNECT_MS = { 100, 300, 1000, 3000, 5000, 10000 }

---@class beast.Task
---@field id string What its deltas are called.
---@field label string
---@field running boolean
---@field began_ms number
---@field client_id? integer
---@field request_id? integer
---@field on_delta? fun(delta: string)
---@field on_done? fun(problem?: lsp.ResponseError, result?: any)

---@type table<string, beast.Task>
local tasks = {}
local counter = 0
---@type table<integer, { client: vim.lsp.Client, buffers: table<integer, true> }>
local attached = {}

---@class beast.CommandOptions
---@field bufnr? integer
---@field label? string What the statusline calls it.
---@field on_delta? fun(delta: string) Streamed text; nil: none is asked for.
---@field on_done? fun(problem?: lsp.ResponseError, result?: any)
---@field quiet? boolean Keep it out of the list of what runs.
---@field secret? boolean Keep it out of Neovim's log, whatever its level.

local function changed()
  vim.schedule(function()
    vim.api.nvim_exec_autocmds('User', { pattern = 'BeastStatus', modeline = false })
  end)
end

--- The client of a buffer, or any other that runs.
---@param bufnr? integer
---@return vim.lsp.Client?
function M.get(bufnr)
  local own = bufnr and vim.lsp.get_clients({ bufnr = bufnr, name = M.NAME }) or {}
  for _, client in ipairs(vim.list_extend(own, vim.lsp.get_clients({ name = M.NAME }))) do
    if client.initialized and not client:is_stopped() then
      return client
    end
  end
end

--- Whether a client exists that is still on its way.
local function starting()
  local all = vim.lsp.get_clients({ name = M.NAME, _uninitialized = true })
  return vim.iter(all):any(function(client)
    return not client:is_stopped()
  end)
end

---@param bufnr integer
local function start(bufnr)
  local attach = vim.bo[bufnr].buftype == ''
  local made = vim.deepcopy(vim.lsp.config[M.NAME])
  made.root_dir = made.root_dir or vim.fs.root(bufnr, made.root_markers) or (not attach and vim.fn.getcwd() or nil)
  return vim.lsp.start(made, { bufnr = bufnr, attach = attach, reuse_client = made.reuse_client })
end

--- Starts the server for a buffer where none runs, and waits for it without blocking.
---@param bufnr? integer
---@param then_do fun(client: vim.lsp.Client)
---@param give_up? fun(problem: lsp.ResponseError)
function M.with(bufnr, then_do, give_up)
  bufnr = bufnr or vim.api.nvim_get_current_buf()
  local found = M.get(bufnr)
  if found then
    return then_do(found)
  end
  local deadline = vim.uv.now() + 20000
  local function failed(text)
    local problem = { code = -32803, message = text .. ' :checkhealth beast says more.' }
    return (give_up or notice.fail)(problem)
  end
  if not starting() and not start(bufnr) then
    return failed('The server did not start.')
  end
  local function look()
    local client = M.get(bufnr)
    if client then
      return then_do(client)
    elseif vim.uv.now() > deadline or not starting() then
      return failed('The server did not answer.')
    end
    vim.defer_fn(look, 20)
  end
  look()
end

---@param task beast.Task
---@param problem? lsp.ResponseError
---@param result? any
local function finish(task, problem, result)
  if not task.running then
    return
  end
  task.running = false
  tasks[task.id] = nil
  changed()
  if task.on_done then
    task.on_done(problem, result)
  end
end

--- Runs something with Neovim's log of protocols shut: a key must not be written there.
---@param secret boolean?
---@param run fun(): boolean, integer?
---@return boolean, integer?
local function unlogged(secret, run)
  if not secret then
    return run()
  end
  local log = vim.lsp.log
  local level = log.get_level()
  log.set_level(vim.log.levels.OFF)
  local ok, sent, id = pcall(run)
  log.set_level(level)
  if not ok then
    error(sent, 0)
  end
  return sent, id
end

---@param task beast.Task
---@param client vim.lsp.Client
---@param params table
---@param options beast.CommandOptions
local function send(task, client, params, options)
  if not task.running then
    return
  end
  local sent, request_id = unlogged(options.secret, function()
    return client:request('workspace/executeCommand', params, function(problem, result)
      finish(task, problem, result)
    end, options.bufnr and vim.api.nvim_buf_is_valid(options.bufnr) and options.bufnr or nil)
  end)
  task.client_id, task.request_id = client.id, request_id
  if not sent then
    finish(task, LOST)
  end
end

--- Sends a command to the server.
---@param name string Without `beast.`.
---@param argument table
---@param options? beast.CommandOptions
---@return beast.Task
function M.command(name, argument, options)
  options = options or {}
  counter = counter + 1
  local task = {
    id = ('nvim-%d-%d'):format(vim.uv.os_getpid(), counter),
    label = options.label or name,
    running = true,
    quiet = options.quiet,
    began_ms = vim.uv.now(),
    on_delta = options.on_delta,
    on_done = options.on_done,
  }
  tasks[task.id] = task
  if options.on_delta then
    argument = vim.tbl_extend('force', argument, { id = task.id })
  end
  local arguments = next(argument) == nil and {} or { argument }
  changed()
  M.with(options.bufnr, function(client)
    send(task, client, { command = 'beast.' .. name, arguments = arguments }, options)
  end, function(problem)
    finish(task, problem)
  end)
  return task
end

--- Stops a task; what it streamed until then stays where it is.
---@param task beast.Task
function M.stop(task)
  if not task.running then
    return
  end
  local client = task.client_id and vim.lsp.get_client_by_id(task.client_id)
  if client and task.request_id then
    client:cancel_request(task.request_id)
  end
  finish(task, CANCELLED) -- Neovim keeps the server's own reply to itself
end

--- Stops everything that a person can see running.
---@return integer # How much that was.
function M.stop_all()
  local running = M.running()
  for _, task in ipairs(running) do
    M.stop(task)
  end
  return #running
end

--- What runs, oldest first.
---@return beast.Task[]
function M.running()
  local found = vim.tbl_filter(function(task)
    return not task.quiet
  end, vim.tbl_values(tasks))
  table.sort(found, function(a, b)
    return a.began_ms < b.began_ms
  end)
  return found
end

--- `beast/delta`: a piece of an answer, for who asked; once a task has ended nobody wants it.
---@param params { id: string, delta: string }
function M.on_delta(params)
  local task = tasks[params.id]
  if task and task.on_delta then
    task.on_delta(params.delta)
  end
end

---@param client vim.lsp.Client
---@param folder string
---@return boolean
local function has_folder(client, folder)
  return vim.iter(client.workspace_folders or {}):any(function(one)
    return one.uri == vim.uri_from_fname(folder)
  end)
end

--- Shares one client between all projects of this Neovim: a further project becomes a further folder of it.
---@param client vim.lsp.Client
---@param wanted vim.lsp.ClientConfig
---@return boolean
function M.reuse(client, wanted)
  if client.name ~= wanted.name or client:is_stopped() then
    return false
  end
  local folder = type(wanted.root_dir) == 'string' and wanted.root_dir or nil
  if not folder or has_folder(client, folder) then
    return true
  elseif not client.initialized then
    return false -- it can not be told yet
  end
  local added = { uri = vim.uri_from_fname(folder), name = folder }
  client:notify('workspace/didChangeWorkspaceFolders', { event = { added = { added }, removed = {} } })
  client.workspace_folders = vim.list_extend(client.workspace_folders or {}, { added })
  return true
end

---@param buffers integer[]
---@param attempt integer
local function reconnect(buffers, attempt)
  local wait_ms = RECONNECT_MS[attempt]
  if not wait_ms then
    return notice.warn('The daemon stays away. `beast start` starts it; :Beast status connects again.')
  end
  vim.defer_fn(function()
    if vim.v.exiting ~= vim.NIL or M.get() then
      return
    end
    for _, bufnr in ipairs(config.listens() and buffers or {}) do
      if vim.api.nvim_buf_is_loaded(bufnr) then
        pcall(start, bufnr)
      end
    end
    reconnect(buffers, attempt + 1)
  end, wait_ms)
end

--- Notes which buffers are a client's.
---@param client vim.lsp.Client
---@param bufnr integer
function M.on_attach(client, bufnr)
  attached[client.id] = attached[client.id] or { client = client, buffers = {} }
  attached[client.id].buffers[bufnr] = true
end

--- The connection ended: what waited for an answer is told so, and a socket is connected anew. (`beast lsp` outlives
--- the daemon by itself.)
---@param client_id integer
function M.on_exit(client_id)
  for _, task in ipairs(vim.tbl_values(tasks)) do
    if task.client_id == client_id then
      finish(task, LOST)
    end
  end
  local left = attached[client_id]
  attached[client_id] = nil
  if left and config.get().socket and not left.client._is_stopping and vim.v.exiting == vim.NIL then
    reconnect(vim.tbl_keys(left.buffers), 1)
  end
end

return M
