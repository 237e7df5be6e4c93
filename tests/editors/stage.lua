-- What scripts in Neovim share: telling facts as JSON lines, waiting, the plugin loaded and attached to the sample.

local M = {}

M.folder = assert(vim.env.WORKSPACE)
M.path = vim.fs.joinpath(M.folder, 'sample.py')
M.notices = {} ---@type string[]

vim.notify = function(text)
  M.notices[#M.notices + 1] = text
end

---@param value table
function M.say(value)
  io.stdout:write(vim.json.encode(value) .. '\n')
  io.stdout:flush()
end

---@param step string
---@param facts table
function M.tell(step, facts)
  M.say(vim.tbl_extend('force', facts, { step = step }))
end

---@param what string
---@param holds fun(): any
---@param limit_ms? integer
function M.wait(what, holds, limit_ms)
  if not vim.wait(limit_ms or 30000, holds, 5) then
    error(('it did not come to be: %s; told: %s'):format(what, vim.inspect(M.notices)), 0)
  end
end

--- Waits for what a function hands to its callback.
---@param what string
---@param start fun(done: fun(problem?: any, result?: any))
---@return any problem, any result
function M.await(what, start)
  local ended, problem, result = false, nil, nil
  start(function(one, other)
    ended, problem, result = true, one, other
  end)
  M.wait(what, function()
    return ended
  end)
  return problem, result
end

--- Loads the plugin as a user's start does.
---@param mode 'stdio'|'socket'
---@param options? table
function M.load(mode, options)
  vim.g.beast = vim.tbl_extend('force', { socket = mode == 'socket' }, options or {})
  vim.cmd('filetype plugin on')
  vim.cmd.runtime('plugin/beast.lua')
end

--- Opens the sample and waits for the server.
---@return integer bufnr, vim.lsp.Client client
function M.open()
  vim.cmd.edit(M.path)
  local bufnr = vim.api.nvim_get_current_buf()
  M.wait('attached', function()
    return require('beast.client').get(bufnr)
  end)
  return bufnr, assert(require('beast.client').get(bufnr))
end

---@param bufnr integer
---@return string
function M.text(bufnr)
  return table.concat(vim.api.nvim_buf_get_lines(bufnr, 0, -1, false), '\n')
end

--- Selects lines and leaves the marks of it, as `V` and `<Esc>` do.
---@param first integer
---@param last integer
function M.select_lines(first, last)
  vim.cmd(('normal! %dGV%dG\27'):format(first, last))
end

--- Runs a script to its end; what goes wrong is told on stderr, with exit code 1.
---@param run fun()
function M.main(run)
  local ok, problem = xpcall(run, debug.traceback)
  if not ok then
    local file = vim.lsp.log.get_filename()
    local log = vim.fn.filereadable(file) == 1 and vim.fn.readfile(file, '', -20) or {} -- what the server complained of
    local complaints = vim.tbl_map(function(line)
      return line:sub(1, 300)
    end, log)
    io.stderr:write(table.concat(complaints, '\n') .. '\n' .. tostring(problem) .. '\n')
  end
  os.exit(ok and 0 or 1)
end

return M
