-- Choosing the model that answers, and registering one of one's own. A key goes to the daemon alone: no file, no log.

local client = require('beast.client')
local notice = require('beast.notice')

local M = {}

local DEFAULT = "(the daemon's default)"
local known = {} ---@type string[] Ids, as listed last; for completion.

---@param then_do fun(models: table[])
local function list(then_do)
  client.command('models', {}, {
    quiet = true,
    on_done = function(problem, result)
      if problem then
        return notice.fail(problem)
      end
      local models = result.models or {}
      known = vim.tbl_map(function(model)
        return model.id
      end, models)
      then_do(models)
    end,
  })
end

--- Ids of models for completion on the command line; asks for them where none were listed yet.
---@return string[]
function M.known()
  local found = client.get()
  if #known == 0 and found then
    local params = { command = 'beast.models', arguments = {} }
    local reply = found:request_sync('workspace/executeCommand', params, 500, 0)
    for _, model in ipairs(reply and reply.result and reply.result.models or {}) do
      known[#known + 1] = model.id
    end
  end
  return vim.list_extend({ 'auto' }, known)
end

---@param id string Empty: the daemon's default.
function M.use(id)
  client.command('selectModel', { model = id }, {
    quiet = true,
    on_done = function(problem, result)
      if problem then
        return notice.fail(problem)
      end
      local chosen = result.model ~= vim.NIL and result.model or ''
      notice.info(chosen == '' and "the daemon's default model answers" or chosen .. ' answers')
    end,
  })
end

--- A model in the list to choose from: where none of its deployments can be asked now, with the reason.
---@param model table
---@return string
local function described(model)
  local why
  for _, deployment in ipairs(model.deployments or {}) do
    if deployment.state == 'ready' then
      return model.id
    end
    why = deployment.cause ~= vim.NIL and deployment.cause or deployment.state
  end
  return why and ('%s (%s)'):format(model.id, why) or model.id
end

--- Chooses the model of this Neovim.
---@param id? string nil: asks.
function M.select(id)
  if id and id ~= '' then
    return M.use(id)
  end
  list(function(models)
    local choices = vim.list_extend({ { id = '' }, { id = 'auto' } }, models)
    local options = {
      prompt = 'BEAST: which model answers?',
      format_item = function(model)
        return model.id == '' and DEFAULT or described(model)
      end,
    }
    vim.ui.select(choices, options, function(choice)
      if choice then
        M.use(choice.id)
      end
    end)
  end)
end

---@class beast.Question
---@field name string
---@field prompt string
---@field default? string
---@field needed? boolean
---@field number? boolean
---@field secret? boolean

--- What was typed, as it is meant.
---@param question beast.Question
---@param typed string?
---@return any value, string? problem
local function meant(question, typed)
  local text = typed and vim.trim(typed)
  if not text or (question.needed and (text == '' or text == question.default and question.default:match(':$'))) then
    return nil, 'nothing was registered.'
  elseif text == '' then
    return nil
  elseif question.number and not tonumber(text) then
    return nil, ('%q is no number; nothing was registered.'):format(text)
  end
  return question.number and tonumber(text) or text
end

---@param question beast.Question
---@param take fun(typed?: string)
local function put(question, take)
  if not question.secret then
    return vim.ui.input({ prompt = question.prompt, default = question.default }, take)
  end
  -- Not by vim.ui.input: plugins replace that one, and may show or remember what is typed.
  local ok, typed = pcall(vim.fn.inputsecret, question.prompt)
  take(ok and typed or nil)
end

--- Asks one after another; ends at the first that is not answered.
---@param questions beast.Question[]
---@param then_do fun(answers: table<string, any>)
local function ask_all(questions, then_do)
  local answers = {}
  local function ask(at)
    local question = questions[at]
    if not question then
      return then_do(answers)
    end
    put(question, function(typed)
      local value, problem = meant(question, typed)
      if problem then
        return notice.warn(problem)
      end
      answers[question.name] = value
      ask(at + 1)
    end)
  end
  ask(1)
end

---@param answers table
---@return table
local function registration(answers)
  local argument = {
    id = answers.id:find(':', 1, true) and answers.id or 'custom:' .. answers.id,
    base_url = answers.base_url,
    key = answers.key,
    upstream_model = answers.upstream_model,
  }
  if answers.prompt_price or answers.completion_price then
    argument.price = { prompt = answers.prompt_price or 0, completion = answers.completion_price or 0 }
  end
  return argument
end

---@param argument table
function M.add(argument)
  client.command('registerModel', argument, {
    label = 'testing ' .. argument.id,
    secret = true,
    on_done = function(problem)
      if problem then
        return notice.fail(problem)
      end
      known = {}
      notice.info(('%s is registered; :Beast model %s has it answer here.'):format(argument.id, argument.id))
    end,
  })
end

--- Registers a model: asks for its name, address, key and price. The daemon tests it before it takes it.
function M.register()
  ask_all({
    { name = 'id', prompt = 'Name (custom:NAME): ', default = 'custom:', needed = true },
    { name = 'base_url', prompt = 'Base URL: ', default = 'http://127.0.0.1:8000/v1', needed = true },
    { name = 'upstream_model', prompt = 'Its name there (empty: the same): ' },
    { name = 'prompt_price', prompt = 'USD per million tokens read (empty: unknown): ', number = true },
    { name = 'completion_price', prompt = 'USD per million tokens written (empty: unknown): ', number = true },
    { name = 'key', prompt = 'Key (hidden; empty: none): ', secret = true },
  }, function(answers)
    M.add(registration(answers))
  end)
end

return M
